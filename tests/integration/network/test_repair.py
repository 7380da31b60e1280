"""Networks that somebody damages, by real packets: mended by the next command, and at once where the resolver runs."""

import json
import sys
import time
from collections.abc import Iterator

import pytest

from tests.harness import Host, Neighbour, Snapshot, assert_same, eventually
from tests.harness.dns_client import ask
from tests.harness.host import MINIRUN

# Answers each connection with the address that it came from.
_SERVER = """
import socket, sys
server = socket.create_server(("", int(sys.argv[1])), reuse_port=True)
while True:
    connection, address = server.accept()
    connection.sendall(address[0].encode())
    connection.close()
"""
_ASK = """
import socket, sys
try:
    said = socket.create_connection((sys.argv[1], int(sys.argv[2])), 0.7).recv(99).decode()
    sys.stdout.write(f"{sys.argv[2]} {said}\\n")  # in one piece: several write at once
except OSError:
    pass
"""


class Street:
    """Two containers on one network, one of them published, and another machine."""

    def __init__(self, host: Host, lan: Neighbour, network: str, port: int) -> None:
        self.host, self.lan, self.port = host, lan, port
        self.web, self.client = f"web-{network}", f"client-{network}"
        host.minirun("run", "-d", "--name", self.web, "--net", network, "-p", f"{port}:80", "busybox", "sleep", "1000")
        host.minirun("run", "-d", "--name", self.client, "--net", network, "busybox", "sleep", "1000")
        host.popen(["nsenter", f"--net=/run/netns/{self.web}", sys.executable, "-c", _SERVER, "80"])
        found = json.loads(host.minirun("inspect", self.web).stdout)[0]
        self.id, self.address = found["Id"], found["NetworkSettings"]["Networks"][network]["IPAddress"]
        self.veth, self.bridge = f"veth{self.id[:8]}", "minirun0"
        if network != "bridge":
            self.bridge = "mr-" + json.loads(host.minirun("network", "inspect", network).stdout)[0]["Id"][:10]
        self.pids = self._pids()
        eventually(self.is_whole)

    def is_whole(self) -> bool:
        """Published, among each other, and outward."""
        inside, ask_it = f"nsenter --net=/run/netns/{self.client}", f"{sys.executable} -c '{_ASK}'"
        outside = f"nsenter -t {self.lan.pid} -n"
        said = self.host.sh(
            f"{outside} {ask_it} {self.lan.host_address} {self.port} & {inside} {ask_it} {self.address} 80 &"
            f" {inside} {ask_it} {self.lan.address} 7000 & wait"
        )
        seen = dict(line.split() for line in said.splitlines())
        return len(seen) == 3 and seen[str(self.port)] == self.lan.address and seen["7000"] == self.lan.host_address

    def damage(self, how: str) -> None:
        self.host.sh(how.format(bridge=self.bridge, veth=self.veth, gateway=self.address.rpartition(".")[0] + ".1"))

    def is_running_on(self) -> bool:
        return self._pids() == self.pids

    def _pids(self) -> list[str]:
        names = [self.web, self.client]
        return str(self.host.minirun("inspect", "--format", "{{.State.Pid}}", *names).stdout).split()


@pytest.fixture(scope="module")
def lan() -> Iterator[Neighbour]:
    with Host() as host:
        host.minirun("run", "--rm", "busybox", "true")
        made = host.neighbour(default_route=True)
        made.popen([sys.executable, "-c", _SERVER, "7000"])
        yield made


@pytest.fixture(scope="module")
def plain(lan: Neighbour) -> Street:
    """On the default network there is no resolver, so nothing is mended until somebody types a command."""
    return Street(lan.host, lan, "bridge", 8080)


@pytest.fixture(scope="module")
def red(plain: Street) -> Street:
    plain.host.minirun("network", "create", "red")
    return Street(plain.host, plain.lan, "red", 8081)


DAMAGES = {
    "all rules flushed": "nft flush ruleset",
    "the table deleted": "nft delete table inet minirun",
    "the table emptied": "nft flush table inet minirun",
    "the bridge deleted": "ip link del {bridge}",
    "the bridge set down": "ip link set {bridge} down",
    "its address removed": "ip address del {gateway}/22 dev {bridge} || ip address del {gateway}/16 dev {bridge}",
    "a veth deleted": "ip link del {veth}",
    "a veth off its bridge": "ip link set {veth} nomaster",
}


@pytest.mark.parametrize("how", DAMAGES.values(), ids=DAMAGES)
def test_the_next_command_mends_it(plain: Street, how: str) -> None:
    plain.damage(how)
    assert not plain.is_whole()
    done = plain.host.minirun("ps", "-q")
    assert done.stderr == ""
    assert plain.is_whole()
    assert plain.is_running_on()


@pytest.mark.parametrize("how", ["all rules flushed", "the bridge deleted", "a veth deleted"])
@pytest.mark.parametrize("network", ["bridge", "none", "host"])
def test_a_start_mends_it_when_its_program_begins(plain: Street, how: str, network: str) -> None:
    for detach in ([], ["-d"]):
        plain.damage(DAMAGES[how])
        assert not plain.is_whole()
        assert plain.host.minirun("run", "--rm", *detach, "--net", network, "busybox", "true").stderr == ""
        assert plain.is_whole()
        assert plain.is_running_on()


def test_no_program_begins_without_the_rules(plain: Street) -> None:
    """A flushed table still takes the new container's elements."""
    plain.damage("nft flush table inet minirun")
    told = plain.host.minirun("--explain", "run", "--rm", "busybox", "echo", "begun").stderr
    assert -1 < told.find("add rule inet minirun guard") < told.find("ip link add veth") < told.find("exec echo begun")
    assert plain.is_whole()


def test_the_bridges_own_table_is_mended_too(plain: Street) -> None:
    """What keeps containers from speaking as others: its loss disturbs no packet."""
    for how in ("nft delete table bridge minirun", "nft flush table bridge minirun"):
        plain.damage(how)
        plain.host.minirun("ps", "-q")
        assert f'"{plain.veth}"' in plain.host.sh("nft list set bridge minirun ports")
        assert "forged source address" in plain.host.sh("nft list chain bridge minirun from_container")


def test_reload_mends_what_no_command_notices_and_tells(plain: Street) -> None:
    host = plain.host
    assert host.minirun("network", "reload").stdout == ""
    host.sh(f"ip -n {plain.client} link set eth0 down; nft flush map inet minirun published")
    host.minirun("ps", "-q")
    assert not plain.is_whole()
    assert host.minirun("network", "reload").stdout == f"container {plain.client}: eth0\n"
    assert plain.is_whole()
    plain.damage("nft flush ruleset; ip link del {bridge}; ip link del {veth}")
    assert sorted(host.minirun("network", "reload").stdout.splitlines()) == [
        f"container {plain.client}: eth0",
        f"container {plain.web}: eth0",
        f"network bridge: {plain.bridge}",
        "the rules of table minirun",
    ]
    assert plain.is_whole()
    assert plain.is_running_on()


@pytest.mark.parametrize("how", [*DAMAGES.values(), "nft flush map inet minirun published"], ids=[*DAMAGES, "a map"])
def test_where_the_resolver_runs_it_is_mended_at_once(red: Street, how: str) -> None:
    red.damage(how)
    eventually(red.is_whole)
    assert ask(red.host, red.client, red.web).found == [red.address]
    assert red.is_running_on()


def test_what_cannot_be_mended_is_told_and_tried_seldom_and_the_others_are_mended(red: Street, plain: Street) -> None:
    """Somebody's link has the name of a bridge."""
    host, log = red.host, "/var/lib/minirun/resolver.log"
    with host.unwatched():
        red.damage("ip link del {bridge}; ip link add {bridge} type bridge")
    red.damage("nft flush ruleset; ip link del " + plain.veth)
    eventually(plain.is_whole)
    done = host.minirun("ps", "-q")
    assert f'a link named "{red.bridge}" exists and is not the bridge of network red' in done.stderr
    assert len(done.stdout.split()) == 4
    assert host.minirun("network", "reload", check=False).returncode == 1
    time.sleep(1)
    told = host.sh(f"cat {log}").count("cannot repair network red")
    assert 1 <= told <= 4
    red.damage("ip link del {bridge}")
    host.minirun("ps", "-q")
    assert red.is_whole()


def test_a_start_and_an_end_are_left_alone_meanwhile(red: Street) -> None:
    """Commands that look at the same time as others start and end containers find nothing to mend."""
    host = red.host
    before = Snapshot.of(host)
    some = f"for m in 1 2 3; do {MINIRUN} run --rm --net red busybox true; {MINIRUN} network reload; done"
    host.sh(f"for n in 1 2 3 4; do ({some}) & done; wait", timeout=60)
    assert_same(host, before)
