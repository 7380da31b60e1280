"""What a command costs, counted in what does not depend on the machine: processes, netlink messages, syncs, open files.

Counted are those of the worker that runs the command, of what was forked ahead for it, and of all that they start. Each
bound is what it takes now: who exceeds one has made every start slower, and either finds a way around it or says in the
commit why it is worth that.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.harness import Host, eventually
from tests.integration.forkserver.served import SERVER, ServedHost

_FORKS = ("fork", "vfork", "clone", "clone3")
_PROGRAMS = ("execve", "execveat")
_SENDS = ("sendto", "sendmsg", "sendmmsg")
_SYNCS = ("fsync", "fdatasync", "msync", "sync", "syncfs", "sync_file_range")
_OPENS = ("open", "openat", "openat2", "creat")
# Opened at times: when SQLite begins its log anew, and when a worker has used other memory than the one before it.
_AT_TIMES = ('"/var/lib/minirun"', '"/dev/urandom"', '"/proc/self/maps"', '"/proc/self/pagemap"')
_TRACED = ",".join(_FORKS + _PROGRAMS + _SENDS + _SYNCS + _OPENS)
_CALL = re.compile(r"\d+ +(\w+)\((.*)")


@dataclass(frozen=True)
class Cost:
    """processes: the worker, the one that was forked ahead for it, and those that they start
    netlink: messages that are sent
    syncs: how often something waits for a disk
    files: what is opened, /proc and /sys too; rounded up, since one machine has a few more than another
    """

    processes: int = 2
    netlink: int = 0
    syncs: int = 0
    files: int = 0


COSTS = {
    # Look at the bridges, at minirun's rules, and who else has some.
    "--help": Cost(files=20),
    "ps": Cost(netlink=3, files=30),
    "network ls": Cost(netlink=3, files=30),
    "inspect web": Cost(netlink=3, files=30),
    # A second helper for the v2 cgroup, and the new process.
    "exec web true": Cost(processes=4, netlink=3, files=50),
    # A helper, and the first process.
    "run --rm --net=host busybox true": Cost(processes=4, netlink=3, files=150),
    "run --rm --net=none busybox true": Cost(processes=4, netlink=3, files=160),
    "run --rm --net=container:web busybox true": Cost(processes=4, netlink=3, files=150),
    # More: whether minirun's rules are there; who else has some; the elements, by one transaction each way; the veth
    # pair and its alias; the address, up, the route.
    "run --rm busybox true": Cost(processes=4, netlink=12, files=170),
    "run --rm -p 8080:80 busybox true": Cost(processes=4, netlink=13, files=170),
    "run --rm --net=db busybox true": Cost(processes=4, netlink=13, files=170),
}


@pytest.fixture(scope="module")
def town() -> Iterator[ServedHost]:
    with Host(own_server=True) as host:
        host.minirun("network", "create", "db")
        host.minirun("run", "-d", "--name", "web", "busybox", "sleep", "1000")
        host.minirun("run", "-d", "--name", "mate", "--net=db", "busybox", "sleep", "1000")
        yield ServedHost(host)


@pytest.mark.parametrize("words", list(COSTS))
def test_a_command_costs_no_more_than_it_did(town: ServedHost, words: str) -> None:
    calls = _calls_of(town, *words.split())
    cost = Cost(
        processes=2 + _count(calls, _FORKS),
        netlink=sum(name in _SENDS and "nlmsg_len" in rest for name, rest in calls),
        syncs=_count(calls, _SYNCS),
        files=sum(name in _OPENS and not any(path in rest for path in _AT_TIMES) for name, rest in calls),
    )
    bound = COSTS[words]
    assert cost.processes == bound.processes
    assert (cost.netlink <= bound.netlink, cost.syncs <= bound.syncs, cost.files <= bound.files) == (True,) * 3, cost


def test_nothing_else_is_started(town: ServedHost) -> None:
    calls = _calls_of(town, "run", "--rm", "busybox", "true")
    # The stub, which is a file without a name, and the container's program.
    assert [rest.split('"')[1] for name, rest in calls if name in _PROGRAMS] == ["", "/bin/true"]


def _count(calls: list[tuple[str, str]], names: tuple[str, ...]) -> int:
    return sum(name in names for name, _ in calls)


def _calls_of(town: ServedHost, *words: str) -> list[tuple[str, str]]:
    """(name, arguments and result) of the system calls in which the command, once it was prepared, shows what it costs.

    Those that wait for it are traced, and strace(1) ends with the last process that descends from them.
    """
    assert town.run(*words).way == SERVER  # what is made once is there
    eventually(lambda: len(town.waiting()) == 2)
    pids = [word for pid in town.waiting() for word in ("-p", str(pid))]
    tracer = town.host.popen(["strace", "-f", "-qq", "-s", "64", "-e", f"trace={_TRACED}", "-o", "/run/trace", *pids])
    for pid in town.waiting():
        eventually(lambda pid=pid: "TracerPid:\t0\n" not in (town.proc / str(pid) / "status").read_text())
    assert town.run(*words).way == SERVER
    tracer.wait(10)
    calls = _CALL.findall(town.host.sh("cat /run/trace"))
    assert calls, "nothing was traced"
    return calls
