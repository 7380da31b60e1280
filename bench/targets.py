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


def of_floor(floor: str, limit: float) -> Target:
    """Of the kernel's part alone."""

    def value(results: Results, row: str) -> float | None:
        return _divided(results.median(row, _OWN), results.floor(floor))

    return Target(f"≤ {limit:g} of the kernel's part", value, limit, needs=(floor,))


def than_row(other: str, peer: str, limit: float) -> Target:
    """Of a peer's median in another row."""

    def value(results: Results, row: str) -> float | None:
        return _divided(results.median(row, _OWN), results.median(other, peer))

    return Target(f"≤ {limit:g} of {peer}'s {other}", value, limit, needs=(other,))


def ratio(results: Results, row: str, peer: str) -> float | None:
    return _divided(results.median(row, _OWN), results.median(row, peer))


def _divided(one: float | None, other: float | None) -> float | None:
    """A difference can come out below zero, and then no ratio says anything."""
    return None if one is None or one < 0 or other is None or other <= 0 else one / other
