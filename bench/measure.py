"""The rows and the clock."""

import os
import random
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

ROWS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "none": ("run --rm, none", ("run", "--rm", "--net=none", "busybox", "true")),
    "host": ("run --rm, host", ("run", "--rm", "--net=host", "busybox", "true")),
    "container": ("run --rm, container:", ("run", "--rm", "--net=container:web", "busybox", "true")),
    "bridge": ("run --rm, bridge", ("run", "--rm", "busybox", "true")),
    "publish": ("run --rm, bridge, -p", ("run", "--rm", "-p", "18080:80", "busybox", "true")),
    "exec": ("exec", ("exec", "web", "true")),
    "ps": ("ps", ("ps",)),
    "help": ("--help", ("--help",)),
    "python": ("python3 -c pass", ("-I", "-c", "pass")),
}
_TIMEOUT = 60.0
# The kernel takes a dead network namespace apart on its own time: what one leaves to it should not slow the next.
_SETTLE = 0.03


@dataclass(frozen=True)
class Contender:
    """One engine: its command line up to the verb."""

    name: str
    command: tuple[str, ...]
    version: str = ""
    rows: tuple[str, ...] = tuple(name for name in ROWS if name != "python")


@dataclass
class Cell:
    """What one contender did in one row."""

    seconds: list[float] = field(default_factory=list)
    failed: int = 0


Results = dict[tuple[str, str], Cell]


def measure(contenders: Sequence[Contender], rows: Sequence[str], rounds: int) -> Results:
    """Every row and every contender once a round, so that noise hits all alike.

    The order changes from round to round, or one contender would always be measured in the wake of the same other.
    """
    results = _warm_up(contenders, rows)
    shuffle = random.Random(0).shuffle
    for turn in range(rounds):
        print(f"\rbench: round {turn + 1} of {rounds} ", end="", file=sys.stderr, flush=True)
        for row in rows:
            order = [one for one in contenders if (row, one.name) in results]
            shuffle(order)
            for one in order:
                cell = results[row, one.name]
                seconds, error = once([*one.command, *ROWS[row][1]])
                if error is None:
                    cell.seconds.append(seconds)
                else:
                    cell.failed += 1
                    say(f"{one.name}, {ROWS[row][0]}: {error}")
                time.sleep(_SETTLE)
    print(file=sys.stderr)
    return results


def _warm_up(contenders: Sequence[Contender], rows: Sequence[str]) -> Results:
    """Each once, uncounted: caches fill, bridges come up. Whoever cannot do a row at all is left out of it."""
    results: Results = {}
    for row in rows:
        for one in contenders:
            if row not in one.rows:
                continue
            _, error = once([*one.command, *ROWS[row][1]])
            if error is None:
                results[row, one.name] = Cell()
            else:
                say(f"{one.name} is left out of {ROWS[row][0]}: {error}")
    return results


def once(command: Sequence[str]) -> tuple[float, str | None]:
    """Seconds from start to exit, and what went wrong, if anything did.

    Output goes to a file: a pipe would stay open as long as any monitor the command left behind holds it, and the
    wait is on a pidfd because Popen.wait with a timeout polls, at intervals of up to 50 ms.
    """
    with tempfile.TemporaryFile() as errors:
        started = time.perf_counter()
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors)
        in_time = _ends(child.pid)
        code = child.wait() if in_time else None
        seconds = time.perf_counter() - started
        if code == 0:
            return seconds, None
        if code is None:
            child.send_signal(signal.SIGKILL)
            child.wait()
            return seconds, f"not done in {_TIMEOUT:.0f} seconds"
        errors.seek(0)
        text = " / ".join(errors.read().decode(errors="replace").split("\n")[-5:]).strip(" /")
        return seconds, f"exit code {code}: {text}"


def _ends(pid: int) -> bool:
    handle = os.pidfd_open(pid)
    try:
        poll = select.poll()
        poll.register(handle, select.POLLIN)
        return bool(poll.poll(_TIMEOUT * 1000))
    finally:
        os.close(handle)


def say(text: str) -> None:
    print(f"bench: {text}", file=sys.stderr, flush=True)
