"""The rows that are one command each: every row and every contender once a round, so that noise hits all alike."""

import random
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace

from bench.clock import SETTLE, say
from bench.contenders import Contender, UnableError
from bench.results import Results
from bench.rows import ROWS, WORDS

_SLEEP = ("busybox", "sleep", "100000")
_SERVER_STARTS = 3.0  # seconds
_AT_ONCE = 16


def measure(contenders: Sequence[Contender], results: Results) -> None:
    """The order changes from round to round, or one would always be measured in the wake of the same other."""
    rows = [row for row in results.rows if any(row in one.words for one in contenders)]
    if "network" in rows:
        contenders = [_with_network(one) for one in contenders]
    able = {row: [one for one in contenders if row in one.words and _can(one, row)] for row in rows}
    for turn in rounds("one command", results.rounds if rows or "cold" in results.rows else 0):
        if "cold" in results.rows:
            _time_cold(contenders, results)
        for row in rows:
            for one in shuffled(able[row], turn):
                _note(results, row, one, *one.run(*one.words[row]))
                time.sleep(SETTLE)


def _note(results: Results, row: str, one: Contender, seconds: float, error: str | None) -> None:
    """A result in milliseconds, or that it failed, and why."""
    if error is None:
        results.add(row, one.name, 1000 * seconds)
    else:
        results.fail(row, one.name)
        say(f"{one.name}, {ROWS[row].title}: {error}")


def _time_cold(contenders: Sequence[Contender], results: Results) -> None:
    """A first command, which starts the fork server for the next ones, and the time until that serves."""
    for one in contenders:
        if one.name != "minirun":
            continue
        one.must("system", "stop-server")
        _note(results, "cold", one, *one.run(*WORDS["bridge"]))
        time.sleep(_SERVER_STARTS)
    # Uncounted: the next rows are of a server that has served, on a machine that is awake again.
    for one in [*contenders, *contenders]:
        one.run(*WORDS["bridge"])
        time.sleep(SETTLE)


def parallel(engines: Sequence[Contender], results: Results) -> None:
    """16 commands at once, of each engine in turn."""
    asked = {"sixteen": "bridge", "sixteen-none": "none"}
    wanted = {row: words for row, words in asked.items() if row in results.rows}
    for turn in rounds("16 at once", results.rounds if wanted else 0):
        for row, words in wanted.items():
            for one in shuffled(engines, turn):
                _note(results, row, one, *one.run_many([WORDS[words]] * _AT_ONCE, _AT_ONCE))
                time.sleep(SETTLE)


def rounds(what: str, number: int) -> Iterable[int]:
    """Counted on stderr. A terminal sees one line that changes."""
    for turn in range(number):
        print(f"\rbench: {what}: round {turn + 1} of {number} ", end="", file=sys.stderr, flush=True)
        yield turn
    if number:
        print(file=sys.stderr)


def shuffled(contenders: Sequence[Contender], turn: int) -> list[Contender]:
    """Always the same way, from one run of the bench to the next."""
    order = list(contenders)
    random.Random(turn).shuffle(order)
    return order


def _can(one: Contender, row: str) -> bool:
    """Once, uncounted: caches fill, bridges come up. Whoever cannot do a row at all is left out of it."""
    _, error = one.run(*one.words[row])
    if error is not None:
        say(f"{one.name} is left out of {ROWS[row].title}: {error}")
    return error is None


def _with_network(one: Contender) -> Contender:
    """Without the row if its containers do not find one another by name: that would be another network, and less."""
    if "network" not in one.words:
        return one
    try:
        one.must("network", "create", "lab")
        one.must("run", "-d", "--name", "named", "--net=lab", *_SLEEP)
        one.must("run", "--rm", "--net=lab", "busybox", "nslookup", "named")
    except UnableError as why:
        say(f"{one.name} is left out of {ROWS['network'].title}: {why}")
        one.remove("named")
        words = {row: words for row, words in one.words.items() if row != "network"}
        return replace(one, words=words)
    return one
