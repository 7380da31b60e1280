"""Containers in the network namespace of another do not notice its restarts, failures and removal."""

import sys

from tests.harness import Host, Snapshot, assert_same, eventually
from tests.harness.fault_sweep import inject_fault
from tests.integration.engine.states import state, status


def test_one_whose_namespace_is_shared_is_restarted_without_taking_it_away(primed: Host) -> None:
    """Who shares it keeps its interfaces and what it listens on; address and published port stay the same."""
    before = Snapshot.of(primed)
    primed.minirun("run", "-d", "--name", "first", "-p", "8080:80", "busybox", "sleep", "1000")
    script = "mkdir /www; echo of the guest > /www/index.html; exec httpd -f -p 0.0.0.0:80 -h /www"
    primed.minirun("run", "-d", "--name", "guest", "--net=container:first", "busybox", "sh", "-c", script)

    def answers() -> bool:
        return "of the guest" in primed.sh("timeout 3 busybox wget -qO- http://127.0.0.1:8080/ 2>/dev/null || true")

    eventually(answers)
    addresses = primed.minirun("exec", "guest", "ip", "address").stdout
    for _ in range(3):
        primed.minirun("restart", "-t", "0", "first")
        assert primed.minirun("exec", "first", "ip", "address").stdout == addresses
        assert answers()
    primed.minirun("stop", "-t", "0", "first")
    assert primed.minirun("exec", "guest", "ip", "address").stdout == addresses
    primed.minirun("start", "first")
    assert answers()
    primed.minirun("rm", "-f", "first")
    assert primed.minirun("exec", "guest", "ip", "address").stdout == addresses
    primed.minirun("rm", "-f", "guest")
    assert_same(primed, before)


# Says how many connections there were, and how many bytes have come.
_LISTENER = """
import select, socket
server, channels, count = socket.create_server(("", 7000)), [], [0, 0]
while True:
    for one in select.select([server, *channels], [], [])[0]:
        if one is server:
            channels.append(server.accept()[0])
            count[0] += 1
        elif data := one.recv(999):
            count[1] += len(data)
        else:
            channels.remove(one)
    with open("/run/flow", "w") as file:
        file.write(f"{count[0]} {count[1]}")
"""


class Shared:
    """`owner` has a published port, and in its namespace lives `guest`, who talks to another machine all the time."""

    def __init__(self, host: Host) -> None:
        self.host, lan = host, host.neighbour(default_route=True)
        lan.popen([sys.executable, "-c", _LISTENER])
        eventually(lambda: "7000" in lan.sh("ss -Hlnt"))
        self.before = Snapshot.of(host)
        host.minirun("network", "create", "red")
        serve = "mkdir /www; echo of the owner > /www/index.html; exec httpd -f -p 0.0.0.0:80 -h /www"
        host.minirun("run", "-d", "--name", "owner", "--net=red", "-p", "8080:80", "busybox", "sh", "-c", serve)
        talk = f"(while :; do echo on; sleep 0.02; done) | nc {lan.address} 7000"
        host.minirun("run", "-d", "--name", "guest", "--net=container:owner", "busybox", "sh", "-c", talk)
        self.lease = self._lease("owner")
        self.check()

    def check(self, owner: str = "owner") -> None:
        """The port answers, the addresses are the same, and the guest's one connection goes on."""
        eventually(lambda: "of the owner" in self.host.sh("timeout 3 busybox wget -qO- http://127.0.0.1:8080/ || true"))
        assert self._lease(owner) == self.lease
        self.check_guest()

    def check_guest(self) -> None:
        connections, size = self._flow()
        assert connections == 1
        eventually(lambda: self._flow()[1] > size + 6)
        assert self._lease("guest") == self.lease

    def kill(self, name: str = "owner") -> str:
        pid = str(state(self.host, name)["State"]["Pid"])
        self.host.sh(f"kill -9 {pid}")
        return pid

    def _lease(self, name: str) -> str:
        return str(self.host.sh(f"ip -n {name} -br address; ip -n {name} route"))

    def _flow(self) -> tuple[int, int]:
        said = eventually(lambda: self.host.sh("cat /run/flow 2>/dev/null || true")).split()
        return int(said[0]), int(said[1])


def test_who_shares_a_namespace_does_not_notice_ten_restarts_of_its_owner(primed: Host) -> None:
    shared = Shared(primed)
    for _ in range(3):
        primed.minirun("restart", "-t", "0", "owner")
        shared.check()
    for _ in range(3):
        shared.kill()
        eventually(lambda: status(primed, "owner") == "exited")
        shared.check_guest()
        primed.minirun("start", "owner")
        shared.check()
    primed.minirun("update", "--restart=always", "owner")
    for _ in range(2):  # it crashes
        pid = shared.kill()
        eventually(lambda: state(primed, "owner")["State"]["Pid"] not in (0, int(pid)))  # noqa: B023
        shared.check()
    primed.minirun("rename", "owner", "renamed")
    shared.check("renamed")
    primed.minirun("restart", "-t", "0", "renamed")
    shared.check("renamed")
    primed.minirun("rename", "renamed", "owner")
    primed.sh(f"kill -9 {state(primed, 'owner')['State']['MonitorPid']}")
    eventually(lambda: status(primed, "owner") == "exited")
    primed.minirun("start", "owner")
    shared.check()
    primed.minirun("rm", "-f", "owner", "guest")
    primed.minirun("network", "rm", "red")
    assert_same(primed, shared.before)


def test_who_shares_a_namespace_does_not_notice_failing_starts_and_the_removal_of_its_owner(primed: Host) -> None:
    shared = Shared(primed)
    primed.minirun("run", "-d", "--name", "other", "--net=red", "busybox", "sleep", "1000")
    primed.minirun("stop", "-t", "0", "owner")
    holder = primed.popen(["busybox", "nc", "-l", "-p", "8080"])
    eventually(lambda: "8080" in primed.sh("ss -Hlnt"))
    assert "already allocated" in primed.minirun("start", "owner", check=False).stderr
    shared.check_guest()
    holder.kill()
    primed.sh("pkill -f '[b]usybox nc -l'; true")
    for how in ("fail", "kill"):
        for number in range(2, 16, 4):
            inject_fault(primed, how, number, ["start", "owner"])
            shared.check_guest()
            primed.minirun("stop", "-t", "0", "owner")
    primed.minirun("start", "owner")
    shared.check()
    primed.minirun("rm", "-f", "owner")
    shared.check_guest()
    primed.minirun("exec", "guest", "ping", "-c", "1", "other")  # names are known to it still
    primed.minirun("rm", "-f", "guest", "other")
    primed.minirun("network", "rm", "red")
    assert_same(primed, shared.before)
