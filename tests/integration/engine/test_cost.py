"""What a command costs, counted in what does not depend on the machine: processes, and exchanges with the kernel.

Each bound is what it takes now: who exceeds one has made every start slower, and either finds a way around it or says
in the commit why it is worth that.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.harness import Host
from tests.harness.host import MINIRUN

# strace(1) follows children, and a fork server's worker is none of the command's.
_TRACED = ("strace", "-f", "-qq", "-E", "MINIRUN_FORKSERVER=off")
_CALLS = "execve,execveat,fork,vfork,clone,clone3,sendto,sendmsg"


@dataclass(frozen=True)
class Cost:
    """Processes that are started, and netlink messages that are sent."""

    processes: int = 1
    netlink: int = 0


COSTS = {
    "--help": Cost(),
    "ps": Cost(netlink=2),
    "network ls": Cost(netlink=2),
    "inspect web": Cost(netlink=2),
    # Look at the bridge and its rules; a helper, and the new process.
    "exec web true": Cost(processes=3, netlink=2),
    "run --rm --net=host busybox true": Cost(processes=3, netlink=2),
    "run --rm --net=none busybox true": Cost(processes=3, netlink=2),
    "run --rm --net=container:web busybox true": Cost(processes=3, netlink=2),
    # More: who else has rules; the elements, by one transaction each way; the veth pair and its alias; the address, up,
    # the route.
    "run --rm busybox true": Cost(processes=3, netlink=10),
    "run --rm -p 8080:80 busybox true": Cost(processes=3, netlink=11),
    "run --rm --net=db busybox true": Cost(processes=3, netlink=11),
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
    town.run([*_TRACED, "-e", f"trace={_CALLS}", "-o", "/run/trace", MINIRUN, *words.split()])
    cost = _read(town.sh("cat /run/trace"))
    bound = COSTS[words]
    assert cost.processes == bound.processes
    assert cost.netlink <= bound.netlink


def test_nothing_else_is_started(town: Host) -> None:
    town.run([*_TRACED, "-e", "trace=execve,execveat", "-o", "/run/trace", MINIRUN, "run", "--rm", "busybox", "true"])
    programs = re.findall(r'exec\w*\((?:\d+, )?"([^"]*)"', town.sh("cat /run/trace"))
    # The launcher, Python, the stub, which is a file without a name, and the container's program.
    assert [programs[0], *programs[-2:]] == [MINIRUN, "", "/bin/true"]
    assert len(programs) <= 4


def _read(trace: str) -> Cost:
    processes, netlink = 1, 0
    for line in trace.splitlines():
        _, call = line.split(None, 1)
        processes += call.startswith(("clone", "fork", "vfork"))
        netlink += call.startswith(("sendto(", "sendmsg(")) and "nlmsg_len" in call
    return Cost(processes, netlink)
