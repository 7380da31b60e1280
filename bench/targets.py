"""What is asked of a row, and whether it holds: always of medians."""

from collections.abc import Callable
from dataclasses import dataclass

from bench.results import Results

_OWN = "minirun"


@dataclass(frozen=True)
class Target:
    """A number made of the results, given the row's name, and its limit."""

    text: str
    value: Callable[[Results, str], float | None]
    limit: float
    at_least: bool = False
    needs: tuple[str, ...] = ()  # other rows

    def verdict(self, results: Results, row: str) -> str:
        """'-' when something that it compares with was not measured."""
        value = self.value(results, row)
        if value is None:
            return "-"
        return "met" if (value >= self.limit if self.at_least else value <= self.limit) else "not met"


def versus(peer: str, limit: float, at_least: bool = False) -> Target:
    """Of the peer's median in the same row."""
    sign = "≥" if at_least else "≤"
    return Target(f"{sign} {limit:g} of {peer}", lambda results, row: ratio(results, row, peer), limit, at_least)


def of_row(other: str, text: str, limit: float) -> Target:
    """Of minirun's own median in another row."""

    def value(results: Results, row: str) -> float | None:
        return _divided(results.median(row, _OWN), results.median(other, _OWN))

    return Target(f"≤ {limit:g} of {text}", value, limit, needs=(other,))


def no_more_than(limit: float, unit: str) -> Target:
    return Target(f"≤ {limit:g} {unit}", lambda results, row: results.median(row, _OWN), limit)


def floor_and_sqlite(times: float) -> Target:
    """So many of Python's own starts. The database, which a command that looks something up must open, is on top."""

    def value(results: Results, row: str) -> float | None:
        own, python, sqlite = results.median(row, _OWN), results.floor("python"), results.floor("sqlite")
        if own is None or python is None or sqlite is None:
            return None
        return (own - (sqlite - python)) / python

    return Target(f"≤ {times:g} python + sqlite", value, times, needs=("python", "sqlite"))


def distance(results: Results, mode: str) -> float | None:
    """minirun divided by what it cannot do without: Python's start, and the kernel's part, twice."""
    python, kernel = results.floor("python"), results.floor(f"floor-{mode}")
    if python is None or kernel is None:
        return None
    return _divided(results.median(mode, _OWN), python + 2 * kernel)


def ratio(results: Results, row: str, peer: str) -> float | None:
    return _divided(results.median(row, _OWN), results.median(row, peer))


def _divided(one: float | None, other: float | None) -> float | None:
    """A difference can come out below zero, and then no ratio says anything."""
    return None if one is None or one < 0 or other is None or other <= 0 else one / other
