"""TCP to a container, by the ways that there are. Python at both ends, the same for every engine (endpoint.py)."""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import namespaces
from bench.clock import say
from bench.commands import rounds, shuffled
from bench.contenders import Contender, UnableError
from bench.results import Results
from bench.rows import GROUPS, ROWS

_ENDPOINT = (sys.executable, "-I", "-S", str(Path(__file__).with_name("endpoint.py")))
_INSIDE, _OUTSIDE = 5001, 15001
_SECONDS = 0.4
_SLEEP = ("busybox", "sleep", "100000")


@dataclass(frozen=True)
class Way:
    """From where, and to what address and port."""

    start: int
    address: str
    port: int


def measure(engines: Sequence[Contender], neighbours: dict[str, int], results: Results) -> None:
    rows = [row for row in GROUPS["traffic"].rows if row in results.rows]
    if not rows:
        return
    with ExitStack() as stack:
        ways = {one.name: _ways(one, neighbours.get(one.name), stack) for one in engines}
        for turn in rounds("traffic", results.rounds):
            for row in rows:
                what, _, way = row.partition("-")
                for one in shuffled([one for one in engines if way in ways[one.name]], turn):
                    _sample(one, row, what, ways[one.name][way], results)


def _sample(one: Contender, row: str, what: str, way: Way, results: Results) -> None:
    try:
        results.add(row, one.name, ask(way.start, what, way.address, str(way.port), str(_SECONDS))[0])
    except UnableError as why:
        results.fail(row, one.name)
        say(f"{one.name}, {ROWS[row].title}: {why}")


def _ways(one: Contender, neighbour: int | None, stack: ExitStack) -> dict[str, Way]:
    stack.callback(one.remove, "server", "client")
    try:
        one.must("run", "-d", "--name", "server", "-p", f"{_OUTSIDE}:{_INSIDE}", *_SLEEP)
        one.must("run", "-d", "--name", "client", *_SLEEP)
        address = stack.enter_context(serve(one.pid("server"), _INSIDE))
        found = {
            "loopback": Way(one.host, "127.0.0.1", _OUTSIDE),
            "between": Way(one.pid("client"), address, _INSIDE),
        }
    except UnableError as why:
        say(f"{one.name} is left out of traffic: {why}")
        return {}
    if neighbour:
        found["outside"] = Way(neighbour, namespaces.HOST, _OUTSIDE)
    return {name: way for name, way in found.items() if _passes(one, name, way)}


def _passes(one: Contender, name: str, way: Way) -> bool:
    try:
        ask(way.start, "trips", way.address, str(way.port), "0.05")
    except UnableError as why:
        say(f"{one.name} is left out of traffic, {name}: {why}")
        return False
    return True


@contextmanager
def serve(inside: int, port: int) -> Iterator[str]:
    """A server in the network namespace of that process and in nothing else of its container; its address there."""
    with namespaces.within(inside):
        server = subprocess.Popen([*_ENDPOINT, "serve", str(port)], stdout=subprocess.PIPE, text=True)
    assert server.stdout  # asked for above
    try:
        address = server.stdout.readline().strip()
        if not address:
            raise UnableError("the server did not start")
        yield address
    finally:
        server.kill()
        server.wait()
        server.stdout.close()


def ask(start: int, *words: str) -> list[float]:
    """What the client measured; it starts in the network namespace of that process."""
    with namespaces.within(start):
        done = subprocess.run([*_ENDPOINT, *words], capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        raise UnableError(done.stderr.strip().rpartition("\n")[2])
    return [float(word) for word in done.stdout.split()]
