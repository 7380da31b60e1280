"""minirun fault: packets on a container's cable that are lost, cut off, held back and reset, by real packets.

Each fault is seen to act, and after healing the host and both ends of the cable are as they were.
"""

import re
import select
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from minirun.kernel.qdiscs import has_qdisc
from tests.harness import Host, Snapshot, assert_same, eventually
from tests.harness.dns_client import ask
from tests.harness.fault_sweep import Done, sweep_faults
from tests.harness.host import MINIRUN, REPO
from tests.harness.netns_sockets import SHORT, Netns

NAMES = ("anna", "bert", "carl")
PORT = 7000
HAS_NETEM = has_qdisc("netem")


@pytest.fixture(scope="module")
def site() -> Iterator[Host]:
    """Three containers on a network with IPv6; two of them are also on another one."""
    with Host() as host:
        host.minirun("run", "--rm", "busybox", "true")
        host.minirun("network", "create", "--ipv6", "town")
        host.minirun("network", "create", "lane")
        for name in NAMES:
            host.minirun("run", "-d", "--name", name, "--net", "town", "-p", f"{PORT}", "busybox", "sleep", "1000")
        for name in NAMES[:2]:
            host.minirun("network", "connect", "lane", name)
        yield host


@pytest.fixture
def town(site: Host) -> Iterator[Host]:
    before = looks(site)
    yield site
    assert site.minirun("fault", "ls", "-q").stdout == ""
    assert_same(site, before[0])
    assert looks(site)[1] == before[1]


def looks(host: Host) -> tuple[Snapshot, str]:
    """The host, and the queueing disciplines at the containers' ends of the cables and at the host's."""
    return Snapshot.of(host), host.sh("tc qdisc; for n in anna bert carl; do ip netns exec $n tc qdisc; done")


def addresses(host: Host, name: str, network: str = "town") -> tuple[str, str]:
    form = f"{{{{with .NetworkSettings.Networks.{network}}}}}{{{{.IPAddress}}}} {{{{.GlobalIPv6Address}}}}{{{{end}}}}"
    four, _, six = host.minirun("inspect", "--format", form, name).stdout.strip().partition(" ")
    return four, six


def fault(host: Host, *words: str) -> str:
    return str(host.minirun("fault", *words).stdout.strip())


def heal(host: Host) -> None:
    host.minirun("fault", "rm", "--all")


class Line:
    """An established connection from one container, or the host (""), to another."""

    def __init__(self, host: Host, client: str, server: str, address: str) -> None:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with Netns.of(host, server).socket(family, socket.SOCK_STREAM) as listening:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind((address, PORT))
            listening.listen()
            self.client = Netns.of(host, client).socket(family, socket.SOCK_STREAM)
            self.client.settimeout(5)
            self.client.connect((address, PORT))
            self.server = listening.accept()[0]
        self.server.settimeout(5)

    def passes(self, patience: float = SHORT) -> bool:
        """Whether a byte gets through, and one back. What did not may come later, and is taken for none."""
        for sender, receiver in ((self.client, self.server), (self.server, self.client)):
            sender.send(b"x")
            if not select.select([receiver], [], [], patience)[0]:
                return False
            receiver.recv(99)
        return True

    def close(self) -> None:
        self.client.close()
        self.server.close()


@contextmanager
def line(host: Host, client: str, server: str, address: str) -> Iterator[Line]:
    opened = Line(host, client, server, address)
    try:
        yield opened
    finally:
        opened.close()


def pings(host: Host, client: str, address: str, count: int) -> int:
    """How many of these datagrams arrive in a container's namespace, sent from another's."""
    server = Netns.of(host, "bert").socket(socket.AF_INET, socket.SOCK_DGRAM)
    sender = Netns.of(host, client).socket(socket.AF_INET, socket.SOCK_DGRAM)
    with server, sender:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        server.bind((address, PORT))
        for _ in range(count):
            sender.sendto(b"x", (address, PORT))
        time.sleep(0.1)
        server.setblocking(False)
        found = 0
        try:
            while server.recv(9):
                found += 1
        except BlockingIOError:
            return found
    return found


def test_a_partition_cuts_two_containers_and_nothing_else(town: Host) -> None:
    """Connections that exist, both address families, the other network, and the way through the host's port."""
    four, six = addresses(town, "bert")
    lane, _ = addresses(town, "bert", "lane")
    published = int(town.minirun("port", "bert", f"{PORT}/tcp").stdout.split()[0].rpartition(":")[2])
    gateway = addresses(town, "carl")[0].rpartition(".")[0] + ".1"
    with ExitStack() as stack:
        lines = [stack.enter_context(line(town, "anna", "bert", each)) for each in (four, six, lane)]
        others = [stack.enter_context(line(town, each, "bert", four)) for each in ("carl", "")]
        fault(town, "partition", "anna", "bert")
        assert [each.passes() for each in lines] == [False] * 3
        assert all(each.passes(2) for each in others)
        server = Netns.of(town, "bert").serve(PORT, protocols=("tcp",))
        stack.callback(server.close)
        assert server.asked(Netns.of(town, "carl"), "tcp", gateway, published)
        assert not server.asked(Netns.of(town, "anna"), "tcp", gateway, published, SHORT)
        traced = town.minirun("trace", "anna", f"bert:{PORT}", check=False).stdout
        (identity,) = town.minirun("fault", "ls", "-q").stdout.split()
        assert f"dropped by fault {identity}: partition of anna and bert\n  minirun fault rm {identity}" in traced
        heal(town)
        assert all(each.passes(5) for each in lines)
        fault(town, "partition", "bert", "anna", "--network", "lane")
        assert [each.passes() for each in lines[:2]] == [True, True]
        assert not lines[2].passes()
        heal(town)


def test_loss_by_direction_and_of_a_whole_network(town: Host) -> None:
    """1000 datagrams: with 30 % of them lost, 640 to 760 arrive (more than four standard deviations)."""
    address, _ = addresses(town, "bert")
    assert pings(town, "anna", address, 1000) == 1000
    for words in (("anna", "--direction", "out"), ("bert", "--direction", "in"), ("--network", "town")):
        fault(town, "loss", "--percent", "30", *words)
        assert 640 < pings(town, "anna", address, 1000) < 760, words
        heal(town)
    fault(town, "loss", "--percent", "100", "anna", "--direction", "in")
    assert pings(town, "anna", address, 10) == 10
    assert pings(town, "carl", address, 10) == 10
    heal(town)


def test_a_blackhole_of_a_port_and_of_everything(town: Host) -> None:
    address, _ = addresses(town, "bert")
    with line(town, "anna", "bert", address) as opened, line(town, "bert", "anna", addresses(town, "anna")[0]) as back:
        fault(town, "blackhole", "bert", "--port", str(PORT))
        assert not opened.passes()
        assert back.passes(), "what bert asks of others goes on"
        assert pings(town, "anna", address, 3) == 3, "another protocol"
        heal(town)
        fault(town, "blackhole", "bert")
        assert not back.passes()
        assert pings(town, "anna", address, 3) == 0
        heal(town)
        assert opened.passes(5)


def test_bandwidth_in_both_directions(town: Host) -> None:
    """250 kB at 4 Mbit/s take half a second, and without the fault much less."""
    with line(town, "carl", "bert", addresses(town, "bert")[0]) as opened:
        assert seconds(opened.client, opened.server) < 0.2
        fault(town, "bandwidth", "--rate", "4mbit", "carl")
        for sender, receiver in ((opened.client, opened.server), (opened.server, opened.client)):
            assert 0.4 < seconds(sender, receiver) < 2.5
        fault(town, "bandwidth", "--rate", "1gbit", "carl")
        assert "rate 4Mbit" in town.sh("ip netns exec carl tc qdisc"), "the lowest rate counts"
        heal(town)
        fault(town, "bandwidth", "--rate", "4mbit", "carl", "--direction", "in")
        assert seconds(opened.client, opened.server) < 0.2 < seconds(opened.server, opened.client)
        heal(town)
        assert seconds(opened.server, opened.client) < 0.2


def seconds(sender: socket.socket, receiver: socket.socket) -> float:
    size, began = 250_000, time.monotonic()
    sender.setblocking(False)
    sent = received = 0
    while received < size:
        readable, writable, _ = select.select([receiver], [sender] if sent < size else [], [], 5)
        if writable:
            sent += sender.send(bytes(min(size - sent, 20_000)))
        if readable:
            received += len(receiver.recv(1 << 16))
    sender.settimeout(5)
    return time.monotonic() - began


def test_a_reset_ends_one_connection_or_all(town: Host) -> None:
    address, _ = addresses(town, "bert")
    with line(town, "anna", "bert", address) as first, line(town, "", "bert", address) as second:
        shown = fault(town, "reset", "bert", "--peer-port", str(first.client.getsockname()[1]))
        assert shown.endswith(f" to {address}:{PORT}")
        with pytest.raises(ConnectionResetError):
            first.client.recv(1)
        with pytest.raises(ConnectionAbortedError):
            first.server.recv(1)
        assert second.passes()
        assert town.minirun("fault", "reset", "bert", "--port", "81", check=False).returncode
        assert second.passes()
        # Connections of other tests, whose last packets a fault has swallowed, may be among them.
        shown = fault(town, "reset", "--network", "town", "--port", str(PORT)).splitlines()
        assert any(text.endswith(f":{second.client.getsockname()[1]} to {address}:{PORT}") for text in shown)
        with pytest.raises(ConnectionResetError):
            second.client.recv(1)
    assert "there is no such connection" in town.minirun("fault", "reset", "bert", check=False).stderr


def test_false_answers_of_the_dns_server(town: Host) -> None:
    four, six = addresses(town, "bert")
    assert ask(town, "anna", "bert").found == [four]
    fault(town, "dns", "town", "bert", "--answer", "192.0.2.7", "--answer", "2001:db8::7")
    assert ask(town, "anna", "bert").found == ask(town, "anna", "bert.town").found == ["192.0.2.7"]
    assert ask(town, "anna", "BERT", "AAAA", stream=True).found == ["2001:db8::7"]
    assert ask(town, "anna", "carl").found == [addresses(town, "carl")[0]]
    heal(town)
    for failure, code in (("nxdomain", 3), ("servfail", 2), ("refused", 5)):
        fault(town, "dns", "town", "bert", "--fail", failure)
        assert ask(town, "anna", "bert").code == code
        heal(town)
    fault(town, "dns", "town", "bert", "--fail", "timeout")
    with pytest.raises(AssertionError, match=r"[Tt]imeout|timed out"):
        ask(town, "anna", "bert", patience=SHORT)
    heal(town)
    assert ask(town, "anna", "bert", "AAAA").found == [six]


def test_a_fault_outlives_a_restart_and_ends_with_the_container(town: Host) -> None:
    town.minirun("run", "-d", "--name", "dora", "--net", "town", "busybox", "sleep", "1000")
    loss = fault(town, "loss", "--percent", "100", "dora")
    rate = fault(town, "bandwidth", "--rate", "1mbit", "dora")
    town.minirun("network", "connect", "lane", "dora")  # all networks of the container
    town.minirun("restart", "-t", "0", "dora")
    assert town.sh("ip netns exec dora tc qdisc").count("tbf") == 2
    assert town.sh("nft list table bridge minirun").count(f"fault {loss}: loss of") == 2
    shown = town.minirun("map").stdout
    assert shown.count(f"fault {loss}: loss 100%, on the cable of dora") == 2
    assert f"minirun fault rm {rate}" in town.minirun("doctor", "--quick", check=False).stdout
    town.sh("nft flush table bridge minirun")
    town.minirun("network", "reload")
    assert town.sh("nft list table bridge minirun").count(f"fault {loss}: loss of") == 2
    town.minirun("stop", "-t", "0", "dora")
    assert "fault" not in town.sh("nft list ruleset")
    assert town.minirun("fault", "ls", "-q").stdout.split() == [loss, rate]
    town.minirun("rm", "dora")
    assert town.minirun("fault", "ls", "-q").stdout == ""


LASTING = (
    ("partition", "anna", "bert"),
    ("loss", "--percent", "50", "carl"),
    ("bandwidth", "--rate", "1mbit", "carl"),
    ("blackhole", "--network", "town", "--port", "81"),
    ("dns", "town", "carl", "--fail", "servfail"),
)


def test_faults_end_with_their_owner_and_after_their_time(town: Host) -> None:
    """SIGKILL to the owner, and to the command that waits with --for; and a plain end of it."""
    before = looks(town)[0]
    owner = town.popen(["sh", "-c", "echo $$; exec sleep 1000"], stdout=subprocess.PIPE)
    assert owner.stdout is not None
    pid = owner.stdout.readline().decode().strip()
    for words in LASTING:
        fault(town, *words, "--owner-pid", pid)
    assert "tbf" in town.sh("tc qdisc")
    town.sh(f"kill -9 {pid}")
    eventually(lambda: "tbf" not in town.sh("tc qdisc") and "fault" not in town.sh("nft list ruleset"), 10)
    assert town.minirun("fault", "ls", "-q").stdout == ""
    script = f"echo $$; exec {MINIRUN} fault loss --percent 50 carl --for 1m"
    waiting = town.popen(["sh", "-c", script], stdout=subprocess.PIPE)
    assert waiting.stdout is not None
    pid = waiting.stdout.readline().decode().strip()
    assert waiting.stdout.readline()
    assert "fault" in town.sh("nft list ruleset")
    town.sh(f"kill -9 {pid}")
    eventually(lambda: "fault" not in town.sh("nft list ruleset"), 10)
    for words in LASTING:
        fault(town, *words, "--for", "10ms")
    assert_same(town, before, 5)


REFUSED = {
    ("loss", "anna", "--percent", "101"): "not a percentage",
    ("loss", "--percent", "10"): "give a container, or --network",
    ("bandwidth", "anna", "--rate", "1"): "not a rate",
    ("partition", "anna", "anna"): "two containers",
    ("loss", "onhost", "--percent", "1"): "there is no cable",
    ("dns", "bridge", "anna", "--fail", "nxdomain"): "no DNS server",
    ("dns", "town", "anna"): "either --answer or --fail",
    ("clock", "anna"): "not the time of day",
    ("rm", "0123"): "No such fault: 0123",
}


def test_refusals(town: Host) -> None:
    town.minirun("create", "--name", "onhost", "--net", "host", "busybox", "true")
    for words, text in REFUSED.items():
        done = town.minirun("fault", *words, check=False)
        assert done.returncode, words
        assert text in done.stderr, words
    town.minirun("rm", "onhost")


@pytest.mark.skipif(HAS_NETEM, reason="this kernel has netem")
def test_a_delay_without_netem_says_what_the_kernel_lacks(town: Host) -> None:
    for words in (
        ("anna",),
        ("--network", "town", "--jitter", "10ms", "--direction", "out"),
        ("anna", "--for", "10s"),
        ("anna", "--owner-pid", "1"),
    ):
        done = town.minirun("fault", "delay", *words, "--time", "100ms", check=False)
        assert done.returncode
        assert "a delay needs the queueing discipline netem (CONFIG_NET_SCH_NETEM)" in done.stderr
        assert town.minirun("fault", "ls", "-q").stdout == ""


def test_the_request_for_a_delay(town: Host) -> None:
    """The bytes that the kernel gets: whether it delays then, only a kernel with netem can say (tests/.../booted)."""
    script = "from minirun.kernel.qdiscs import netem_replace as replace; replace('lo', 100_000, 5_000, 8_000_000)"
    trace = ["strace", "-f", "-s", "0", "-e", "trace=sendto,sendmsg", "-e", "write=all"]
    done = town.run([*trace, sys.executable, "-c", script], check=False, cwd=REPO)
    lines = re.findall(r"^ \| ([0-9a-f]{5})  ([0-9a-f ]{48})", done.stderr, re.M)
    requests: list[bytes] = []
    for at, text in lines:
        requests = [*requests, b""] if at == "00000" else requests
        requests[-1] += bytes.fromhex(text)
    (sent,) = [request for request in requests if b"netem" in request]
    index, handle, parent = struct.unpack_from("=iII", sent, 16 + 4)
    assert (index, handle, parent) == (1, 0x4D520000, 0xFFFFFFFF)  # lo, minirun's handle, root
    ticks = 1e6 / 64  # of 64 ns, in a millisecond: /proc/net/psched
    latency, limit, lost, gap, duplicate, jitter = struct.unpack_from("=6I", sent, sent.index(b"netem") + 8 + 4)
    assert (latency, limit, lost, gap, duplicate) == (100 * ticks, 10_000, 0, 0, 0)
    assert jitter == 5 * ticks
    assert struct.pack("=HHI", 20, 6, 1_000_000) in sent  # TCA_NETEM_RATE, in bytes


@pytest.mark.skipif(not HAS_NETEM, reason="this kernel has no netem (CONFIG_NET_SCH_NETEM)")
def test_a_delay_counts_in_both_directions(town: Host) -> None:
    with line(town, "anna", "bert", addresses(town, "bert")[0]) as opened:
        fault(town, "delay", "anna", "--time", "100ms")
        fault(town, "bandwidth", "anna", "--rate", "10mbit")
        began = time.monotonic()
        assert opened.passes(2)
        assert 0.2 <= time.monotonic() - began < 1
        heal(town)


SWEPT = {
    "rules": ("partition", "anna", "bert"),
    "shaping": ("bandwidth", "--rate", "1mbit", "carl"),
}


@pytest.mark.parametrize("how", ["fail", "kill"])
@pytest.mark.parametrize("kind", list(SWEPT))
def test_a_killed_or_failing_command_leaves_no_half_of_a_fault(town: Host, kind: str, how: str) -> None:
    """Adding: whole, or nothing after the next command. Healing: nothing after the next command."""
    plain = looks(town)

    def is_whole() -> bool:
        listed = town.minirun("fault", "ls", "-q").stdout.split()  # this is the next command
        seen = town.sh("nft list ruleset; tc qdisc; ip netns exec carl tc qdisc")
        found = seen.count("fault_between") if kind == "rules" else seen.count("tbf")
        assert found == (2 if listed else 0)
        return bool(listed)

    def added(done: Done) -> None:
        assert is_whole() == (done.returncode == 0)
        heal(town)

    def healed(done: Done) -> None:
        if is_whole():
            assert done.returncode  # it has not begun
            heal(town)

    sweep_faults(town, how, ["fault", *SWEPT[kind]], added)
    sweep_faults(town, how, ["fault", "rm", "--all"], healed, prepare=lambda: fault(town, *SWEPT[kind]))
    assert_same(town, plain[0])
    assert looks(town)[1] == plain[1]
