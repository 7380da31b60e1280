"""What a command costs, counted in what does not depend on the machine: modules, processes, exchanges with the kernel.

Each bound is what it takes now, with little room: who exceeds one has made every start slower, and either finds a way
around it or says in the commit why it is worth that.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.harness import Host
from tests.harness.host import MINIRUN

_CALLS = "execve,execveat,fork,vfork,clone,clone3,openat,sendto,sendmsg"
# .../python3.11/re/__pycache__/_parser.cpython-311.pyc, .../minirun/kernel/_sys.abi3.so
_MODULE = re.compile(
    r'"[^"]*/(?:python3[\d.]*/(?:lib-dynload/|site-packages/)?|(?=minirun/))([^".]+)\.[^"]*(?:pyc|so)"'
)
_ROOM = 4  # modules: other versions of Python have some more
# Each is milliseconds of a start, and minirun.light has what is needed of them.
HEAVY = {
    *("dataclasses", "inspect", "typing", "pathlib", "enum", "signal", "socket", "selectors", "subprocess", "datetime"),
    *("re", "json.decoder", "sqlite3.dbapi2", "asyncio", "argparse", "logging", "threading", "traceback", "tempfile"),
}


@dataclass(frozen=True)
class Cost:
    """`command` and `monitor`: modules that are read from files; `netlink`: messages sent."""

    command: int
    monitor: int = 0
    processes: int = 1
    netlink: int = 0


COSTS = {
    "--help": Cost(22),
    "ps": Cost(80, netlink=2),
    "network ls": Cost(78, netlink=2),
    "inspect web": Cost(93, netlink=2),
    # Look at the bridge and its rules; a helper, and the new process.
    "exec web true": Cost(90, processes=3, netlink=2),
    "run --rm --net=host busybox true": Cost(106, 79, processes=3, netlink=2),
    "run --rm --net=none busybox true": Cost(105, 87, processes=3, netlink=2),
    "run --rm --net=container:web busybox true": Cost(106, 87, processes=3, netlink=2),
    # More: who else has rules; the elements, by one transaction each way; the veth pair and its alias; the address, up,
    # the route.
    "run --rm busybox true": Cost(125, 94, processes=3, netlink=10),
    "run --rm -p 8080:80 busybox true": Cost(125, 94, processes=3, netlink=11),
    "run --rm --net=db busybox true": Cost(125, 95, processes=3, netlink=11),
}


@pytest.fixture(scope="module")
def town() -> Iterator[Host]:
    with Host() as host:
        host.minirun("network", "create", "db")
        host.minirun("run", "-d", "--name", "web", "busybox", "sleep", "1000")
        host.minirun("run", "-d", "--name", "mate", "--net=db", "busybox", "sleep", "1000")
        yield host


@pytest.mark.parametrize("words", list(COSTS))
def test_a_command_costs_no_more_than_it_did(town: Host, words: str) -> None:
    town.minirun(*words.split())  # what is compiled once is
    town.run(["strace", "-f", "-qq", "-e", f"trace={_CALLS}", "-o", "/run/trace", MINIRUN, *words.split()])
    loaded, found = _read(town.sh("cat /run/trace"))
    bound = COSTS[words]
    names = [sorted(one) for one in loaded]
    assert len(loaded[0]) <= bound.command + _ROOM, names[0]
    assert (len(loaded[1]) if len(loaded) > 1 else 0) <= bound.monitor + _ROOM, names[1:]
    assert found.processes == bound.processes
    assert found.netlink <= bound.netlink
    needed = {"re", "enum", "json.decoder"} if words == "inspect web" else set()  # it prints JSON, indented
    assert not [one & HEAVY - needed for one in loaded if one & HEAVY - needed]


def test_nothing_else_is_started(town: Host) -> None:
    town.run(
        [
            "strace",
            "-f",
            "-qq",
            "-e",
            "trace=execve,execveat",
            "-o",
            "/run/trace",
            MINIRUN,
            "run",
            "--rm",
            "busybox",
            "true",
        ]
    )
    programs = re.findall(r'exec\w*\((?:\d+, )?"([^"]*)"', town.sh("cat /run/trace"))
    assert programs == [MINIRUN, "", "/bin/true"]  # the stub is a file without a name


def _read(trace: str) -> tuple[list[set[str]], Cost]:
    """Modules by process, in the order in which these begin; and what there is of all else."""
    loaded: dict[str, set[str]] = {}
    processes, netlink = 1, 0
    for line in trace.splitlines():
        pid, call = line.split(None, 1)
        modules = loaded.setdefault(pid, set())
        if call.startswith("openat(") and "ENOENT" not in call and "/lib/x86" not in call and "/lib/aarch" not in call:
            modules.update(_name(path) for path in _MODULE.findall(call))
        processes += call.startswith(("clone", "fork", "vfork"))
        netlink += call.startswith(("sendto(", "sendmsg(")) and "nlmsg_len" in call
    return [one for one in loaded.values() if one], Cost(0, 0, processes, netlink)


def _name(path: str) -> str:
    return path.replace("__pycache__/", "").removesuffix("/__init__").replace("/", ".")
