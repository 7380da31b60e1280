"""What the options of a network let in and out, by real packets on one host: --internal, inter-container communication
off, masquerade off, the gateway modes, IPv6 outward, and how large packets are."""

import struct
from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest

from tests.harness.frames import ARP, EVERYBODY, IP4, arp, ether, tcp_options, udp
from tests.harness.lan_topology import AWAY, AWAY6, LAN, LAN6, LanTopology, lan_topology
from tests.harness.netns_sockets import Server

BRIDGE = "com.docker.network.bridge."
HOST, OUTSIDE = (LAN, LAN6), (AWAY, AWAY6)
PORTS = ("-p", "{0}:80", "-p", "{0}:80/udp")
# A network for each kind: its options, and the first host port of its first container.
KINDS = {
    "plain": [],
    "inner": ["--internal"],
    "alone": ["--internal", "-o", f"{BRIDGE}gateway_mode_ipv4=isolated", "-o", f"{BRIDGE}gateway_mode_ipv6=isolated"],
    "silent": ["-o", f"{BRIDGE}enable_icc=false"],
    "bare": ["-o", f"{BRIDGE}enable_ip_masquerade=false"],
    "routed": ["-o", f"{BRIDGE}gateway_mode_ipv4=routed", "-o", f"{BRIDGE}gateway_mode_ipv6=routed"],
    "unguarded": [
        "-o",
        f"{BRIDGE}gateway_mode_ipv4=nat-unprotected",
        "-o",
        f"{BRIDGE}gateway_mode_ipv6=nat-unprotected",
    ],
    "trusting": ["-o", f"{BRIDGE}trusted_host_interfaces=lan0:wg0"],
}
PUBLISHED = {"plain": 8000, "silent": 8001, "bare": 8002, "routed": 8003, "unguarded": 8004, "trusting": 8005}


class Scene:
    """Two containers in each network, named plain-0, plain-1, ...; the first serves port 80, and on port 81 what is not
    published. The other machine serves port 7000, and the host port 7001."""

    def __init__(self, made: LanTopology, stack: ExitStack) -> None:
        self.topology = made
        self.servers: dict[str, Server] = {}
        self.hidden: dict[str, Server] = {}
        self.away = stack.enter_context(closing(made.netns["away"].serve(7000)))
        self.own = stack.enter_context(closing(made.netns["host"].serve(7001)))
        for kind, options in KINDS.items():
            made.network(kind, "--ipv6", *options)
            words = [word.format(PUBLISHED[kind]) for word in PORTS] if kind in PUBLISHED else []
            first = made.container(f"{kind}-0", "--net", kind, *words)
            made.container(f"{kind}-1", "--net", kind)
            self.servers[kind] = stack.enter_context(closing(first.serve(80)))
            self.hidden[kind] = stack.enter_context(closing(first.serve(81)))


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    with lan_topology() as made, ExitStack() as stack:
        yield Scene(made, stack)


@pytest.fixture(params=[1, 0], ids=["br_netfilter", ""])
def either(scene: Scene, request: pytest.FixtureRequest) -> Scene:
    scene.topology.br_netfilter(request.param)
    return scene


def twice(pair: tuple[str, ...]) -> list[str]:
    """By tcp and udp, of each family."""
    return [address for address in pair for _ in range(2)]


def test_outward_as_the_host(either: Scene) -> None:
    """NAT66, too."""
    assert either.topology.seen(either.away, "plain-1", OUTSIDE, 7000) == twice(HOST)


@pytest.mark.parametrize("kind", ["inner", "alone"])
def test_internal(either: Scene, kind: str) -> None:
    topology = either.topology
    assert topology.seen(either.servers[kind], f"{kind}-1", f"{kind}-0", 80) == twice(topology.addresses[f"{kind}-1"])
    for source in ("away", "plain-1"):
        assert topology.arrivals(either.servers[kind], source, f"{kind}-0", 80) == 0
    # Also with a default route of its own making.
    for version, address in zip("46", topology.addresses[kind], strict=True):
        topology.host.sh(f"ip -n {kind}-1 -{version} route replace default via {address} dev eth0 onlink")
    assert topology.arrivals(either.away, f"{kind}-1", OUTSIDE, 7000) == 0
    assert topology.arrivals(either.own, f"{kind}-1", HOST, 7001) == 0
    for other in ("plain-0", "unguarded-0"):
        assert topology.arrivals(either.servers[other[:-2]], f"{kind}-1", other, 80) == 0
    assert topology.arrivals(either.servers["plain"], f"{kind}-1", HOST, PUBLISHED["plain"]) == 0


def test_the_gateway_of_an_internal_network(either: Scene) -> None:
    """The host itself is reached by it, as Docker has it, unless the mode is `isolated`."""
    members = either.topology.addresses["inner-1"]
    assert either.topology.seen(either.own, "inner-1", "inner", 7001) == twice(members)
    assert either.topology.arrivals(either.servers["plain"], "inner-1", "inner", PUBLISHED["plain"]) == 0
    assert either.topology.arrivals(either.own, "alone-1", "alone", 7001) == 0
    assert "inet" not in either.topology.host.sh(f"ip address show {either.topology.bridges['alone']}")


def test_no_communication_between_containers(either: Scene) -> None:
    topology, server = either.topology, either.servers["silent"]
    assert topology.arrivals(server, "silent-1", "silent-0", 80) == 0
    assert not _reaches_by_frame(topology, "silent-1", "silent-0")
    for version, one, via in zip("46", topology.addresses["silent-0"], topology.addresses["silent"], strict=True):
        topology.host.sh(f"ip -n silent-1 -{version} route replace {one} via {via}")  # over the host, then
    assert topology.arrivals(server, "silent-1", "silent-0", 80) == 0
    assert topology.arrivals(either.hidden["silent"], "silent-1", "silent-0", 81) == 0
    port = PUBLISHED["silent"]
    assert topology.seen(server, "away", HOST, port) == twice(OUTSIDE)
    assert topology.seen(server, "plain-1", HOST, port) == twice(topology.addresses["plain-1"])
    assert topology.seen(server, "host", ("127.0.0.1", "::1"), port) == twice(topology.addresses["silent"])
    assert topology.seen(either.away, "silent-1", OUTSIDE, 7000) == twice(HOST)
    assert "Address" in topology.host.minirun("exec", "silent-1", "nslookup", "silent-0", timeout=10).stdout


def test_frames_between_containers_that_may_communicate(either: Scene) -> None:
    """Shows that the look at the wire sees them."""
    assert _reaches_by_frame(either.topology, "plain-1", "plain-0")


def _reaches_by_frame(topology: LanTopology, source: str, target: str) -> bool:
    with (
        closing(topology.netns[source].packet_socket("eth0")) as sender,
        closing(topology.netns[target].packet_socket("eth0")) as receiver,
    ):
        from_to = topology.addresses[source][0], topology.addresses[target][0]
        packet = udp(*from_to, 5, 80)
        question = arp(1, sender.address, from_to[0], EVERYBODY, from_to[1])
        sent = [ether(sender.address, receiver.address, IP4, packet), ether(sender.address, EVERYBODY, ARP, question)]
        for frame in sent:
            sender.send(frame)
        return any(frame in sent for frame in receiver.frames(0.05))


def test_a_published_port_is_open_to_members_that_may_not_communicate(either: Scene) -> None:
    topology = either.topology
    assert topology.seen(either.servers["silent"], "silent-1", HOST, PUBLISHED["silent"]) == twice(
        topology.addresses["silent"]
    )


@pytest.mark.parametrize(
    ("kind", "seen_as_itself", "reached_directly", "also_what_is_not_published"),
    [
        ("plain", False, False, False),
        ("bare", True, False, False),
        ("routed", True, True, False),
        ("unguarded", False, True, True),
        ("trusting", False, True, False),
    ],
)
def test_gateway_modes(
    either: Scene, kind: str, seen_as_itself: bool, reached_directly: bool, also_what_is_not_published: bool
) -> None:
    topology, server = either.topology, either.servers[kind]
    members = topology.addresses[f"{kind}-1"]
    assert topology.seen(either.away, f"{kind}-1", OUTSIDE, 7000) == twice(members if seen_as_itself else HOST)
    assert topology.arrivals(server, "away", f"{kind}-0", 80) == (4 if reached_directly else 0)
    assert topology.arrivals(either.hidden[kind], "away", f"{kind}-0", 81) == (4 if also_what_is_not_published else 0)
    assert topology.arrivals(server, "silent-1", f"{kind}-0", 80) == (4 if kind == "routed" else 0)
    by_the_host = 0 if kind == "routed" else 4
    assert topology.arrivals(server, "away", HOST, PUBLISHED[kind]) == by_the_host


def test_a_routed_network_answers_to_ping(scene: Scene) -> None:
    unheard = scene.topology.addresses["plain-0"][0]
    for address in (*scene.topology.addresses["routed-0"], unheard):
        done = scene.topology.lan.run(["busybox", "ping", "-c", "1", "-W", "1", address], check=False)
        assert (done.returncode == 0) == (address != unheard)


def test_packets_are_as_large_as_the_way_out_lets_through(scene: Scene) -> None:
    """A network is made with the MTU of the way out; of a narrower one both ends of a TCP connection are told."""
    topology = scene.topology
    topology.host.sh("ip link set lan0 mtu 1400")
    topology.network("late")
    assert "mtu 1400" in topology.host.sh(f"ip link show {topology.bridges['late']}")
    topology.container("late-0", "--net", "late", "-p", "8010:80")
    assert "mtu 1400" in topology.host.minirun("exec", "late-0", "ip", "link", "show", "eth0").stdout
    topology.host.sh(f"ip route add {AWAY}/32 dev lan0 mtu 1200; ip -6 route add {AWAY6}/128 dev lan0 mtu 1300")
    assert _offered(topology, "plain-1", "away", OUTSIDE, 7000) == [1200 - 40, 1300 - 60]
    assert _offered(topology, "away", "plain-0", HOST, PUBLISHED["plain"]) == [1200 - 40, 1300 - 60]
    topology.host.sh(
        f"ip route del {AWAY}/32 dev lan0; ip -6 route del {AWAY6}/128 dev lan0; ip link set lan0 mtu 1500"
    )


def _offered(topology: LanTopology, source: str, target: str, addresses: tuple[str, ...], port: int) -> list[int]:
    """The largest segment that a client's first packet asks for, as the other end sees it."""
    found = []
    with closing(topology.netns[target].packet_socket("eth0")) as wire:
        for address in addresses:
            wire.frames()
            with topology.netns[source].socket(10 if ":" in address else 2, 1) as asking:
                asking.settimeout(1)
                asking.connect((address, port))
            found += [struct.unpack("!H", value)[0] for value in tcp_options(wire.frames(0.05), 2)][:1]
    return found
