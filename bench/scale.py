"""Many: 100 containers as fast as the machine can, 1000 published ports, 1000 containers on one network."""

import os
import time
from collections.abc import Sequence
from contextlib import ExitStack

from bench import namespaces
from bench.clock import SETTLE, say
from bench.commands import rounds, shuffled
from bench.contenders import Contender, UnableError
from bench.memory import available
from bench.results import Results
from bench.rows import GROUPS
from bench.traffic import ask, serve

_SLEEP = ("busybox", "sleep", "100000")
_START = ("run", "-d", "--name")
# Enough to keep every core at work while some wait, for a daemon and for many small processes alike.
AT_ONCE = 2 * (os.cpu_count() or 1)
# Every second one: an engine that kept neighbouring ports as one range would have one entry to look at.
_PORTS = [20000 + 2 * number for number in range(1000)]
_CONNECTIONS = "30"
_PATIENCE = 900.0
_THOUSAND_TAKES = 12 << 20  # KiB


def hundred(engines: Sequence[Contender], results: Results) -> None:
    if not set(GROUPS["hundred"].rows) & set(results.rows):
        return
    names = [f"hundred{number}" for number in range(100)]
    for turn in rounds("100 containers", few(results.rounds)):
        for one in shuffled(engines, turn):
            started, error = one.run_many([(*_START, name, *_SLEEP) for name in names], AT_ONCE)
            removed, failure = one.run_many(_removals(one, names), AT_ONCE)
            if error or failure:
                results.fail("hundred-all", one.name)
                say(f"{one.name}, 100 containers: {error or failure}")
                continue
            results.add("hundred-all", one.name, started + removed)
            results.add("hundred-run", one.name, started)
            results.add("hundred-rm", one.name, removed)


def few(number: int) -> int:
    """For what takes seconds each time, and varies little."""
    return max(2, number // 7)


def ports(engines: Sequence[Contender], neighbours: dict[str, int], results: Results) -> None:
    if not set(GROUPS["ports"].rows) & set(results.rows):
        return
    with ExitStack() as stack:
        ready = [one for one in engines if _publish_all(one, stack)]
        for turn in rounds("1000 ports", results.rounds):
            for one in shuffled(ready, turn):
                _time_port(one, turn, results)
                if one.name in neighbours:
                    _time_connecting(one, neighbours[one.name], results)


def _publish_all(one: Contender, stack: ExitStack) -> bool:
    words = [word for port in _PORTS for word in ("-p", f"{port}:80")]
    stack.callback(one.remove, "many")
    try:
        one.must("run", "-d", "--name", "many", *words, *_SLEEP, timeout=_PATIENCE)
        stack.enter_context(serve(one.pid("many"), 80))
    except UnableError as why:
        say(f"{one.name} is left out of 1000 ports: {why}")
        return False
    return True


def _time_port(one: Contender, turn: int, results: Results) -> None:
    """The second of two follows on its own engine's work, the first on another's: they take turns at that."""
    found: dict[str, float | None] = {}
    for row in ("ports-add", "ports-bare") if turn % 2 else ("ports-bare", "ports-add"):
        found[row] = _time_start(one, row, ("-p", "31000:80") if row == "ports-add" else (), results)
    if found["ports-add"] and found["ports-bare"]:
        results.add("ports-extra", one.name, found["ports-add"] - found["ports-bare"])


def _time_connecting(one: Contender, neighbour: int, results: Results) -> None:
    try:
        found = ask(neighbour, "connect", namespaces.HOST, _CONNECTIONS, str(_PORTS[0]), str(_PORTS[-1]))
    except UnableError as why:
        results.fail("ports-last", one.name)
        say(f"{one.name}, connecting with 1000 ports: {why}")
        return
    for row, value in zip(("ports-first", "ports-last"), found, strict=True):
        results.add(row, one.name, value)


def thousand(engines: Sequence[Contender], wanted: Sequence[str], results: Results) -> None:
    if not set(GROUPS["thousand"].rows) & set(results.rows):
        return
    for one in engines:
        if one.name not in wanted:
            say(f"{one.name} is left out of 1000 containers: --thousand says who starts them")
            continue
        if available() < _THOUSAND_TAKES:
            say(f"{one.name} is left out of 1000 containers: they may take {_THOUSAND_TAKES >> 20} GiB of memory")
            continue
        _thousand(one, results)


def _thousand(one: Contender, results: Results) -> None:
    names = [f"thousand{number}" for number in range(1, 1000)]
    one.run(*_START, "warm", *_SLEEP)
    one.remove("warm")
    for _ in rounds(f"{one.name}, the first", results.rounds):
        _time_start(one, "thousand-first", (), results)
    seconds, error = one.run_many([(*_START, name, *_SLEEP) for name in names], AT_ONCE)
    say(f"{one.name}: 999 containers in {seconds:.0f} s")
    if error:
        say(f"{one.name} is left out of the 1000th: {error}")
    for _ in rounds(f"{one.name}, the 1000th", 0 if error else results.rounds):
        _time_start(one, "thousand-last", (), results)
    one.run_many(_removals(one, names), AT_ONCE)


def _time_start(one: Contender, row: str, words: Sequence[str], results: Results) -> float | None:
    """Milliseconds for one more, and away with it again, which is not timed."""
    seconds, error = one.run(*_START, "next", *words, *_SLEEP)
    one.remove("next")
    time.sleep(SETTLE)
    if error is None:
        results.add(row, one.name, 1000 * seconds)
        return 1000 * seconds
    results.fail(row, one.name)
    say(f"{one.name}, {row}: {error}")
    return None


def _removals(one: Contender, names: Sequence[str]) -> list[tuple[str, ...]]:
    """25 a command: one command for all would leave it to the engine's client how many it removes at once."""
    return [(*one.removal, *names[first : first + 25]) for first in range(0, len(names), 25)]
