"""A hostile container's forged frames do not arrive.

The same frames do on a network with -o minirun.antispoof=false, which shows that they would be accepted.
"""

import json
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import IPv6Address

import pytest

from tests.harness import Host, eventually
from tests.harness.frames import (
    ALL_NODES,
    ALL_NODES_MAC,
    ARP,
    EVERYBODY,
    ICMP6,
    IP4,
    IP6,
    advertisement,
    arp,
    ether,
    icmp6,
    ip,
    tcp_syn,
    udp,
)
from tests.harness.netns_sockets import Netns, PacketSocket

RESOLVER = "169.254.53.53"
NOBODY = "02:00:00:00:00:99"
BR_NETFILTER = "for one in /proc/sys/net/bridge/bridge-nf-call-ip*tables; do [ ! -e $one ] || echo {} > $one; done"


@dataclass(frozen=True)
class Party:
    mac: str
    ip: str
    ip6: str
    local: str


@dataclass(frozen=True)
class Scene:
    """One network: a hostile container, its victim, and the host as gateway."""

    host: Host
    name: str
    bridge: str
    evil: Party
    victim: Party
    gateway: Party
    sender: PacketSocket
    receivers: tuple[PacketSocket, ...]

    def arrived(self, frames: list[bytes]) -> list[bool]:
        """Which of them come to the victim or the host (a VLAN tag is taken off on the way)."""
        self.receivers[0].send(
            ether(self.victim.mac, self.gateway.mac, ARP, bytes(46))
        )  # the bridge knows again where it is
        for receiver in self.receivers:
            receiver.frames()
        last = HONEST["IPv4 to everybody"](self)
        for frame in (*frames, last):
            self.sender.send(frame)
        seen: list[bytes] = []

        def is_over() -> bool:
            for receiver in self.receivers:
                seen.extend(receiver.frames(0.01))
            return seen.count(last) >= len(self.receivers)

        eventually(is_over)
        tails = {one[14:] for one in seen}
        return [frame in seen or frame[18:] in tails for frame in frames]

    def port_of(self, mac: str) -> str:
        """Where the bridge believes it to be."""
        found = json.loads(self.host.sh(f"bridge -j fdb show br {self.bridge}"))
        return next((str(one["ifname"]) for one in found if one["mac"] == mac and "vlan" not in one), "")


@pytest.fixture(scope="module")
def scenes() -> Iterator[dict[str, Scene]]:
    with Host() as host:
        host.sh(BR_NETFILTER.format(0))
        found = {}
        for name, words in (("strict", []), ("loose", ["-o", "minirun.antispoof=false"])):
            host.minirun("network", "create", "--ipv6", *words, name)
            for role in ("evil", "victim"):
                host.minirun("run", "-d", "--name", f"{role}-{name}", "--net", name, "busybox", "sleep", "1000")
            found[name] = _scene(host, name)
        yield found
        for scene in found.values():
            for wire in (scene.sender, *scene.receivers):
                wire.close()


def _scene(host: Host, name: str) -> Scene:
    network = json.loads(host.minirun("network", "inspect", name).stdout)[0]
    bridge = f"mr-{network['Id'][:10]}"
    gateways = [one["Gateway"] for one in network["IPAM"]["Config"]]
    mac = json.loads(host.sh(f"ip -j link show {bridge}"))[0]["address"]
    parties = [_party(host, f"{role}-{name}", name) for role in ("evil", "victim")]
    stacks = [Netns.of(host, f"{role}-{name}") for role in ("evil", "victim")]
    receivers = (stacks[1].packet_socket("eth0"), Netns.of(host).packet_socket(bridge))
    gateway = Party(mac, gateways[0], gateways[1], _link_local(mac))
    return Scene(host, name, bridge, parties[0], parties[1], gateway, stacks[0].packet_socket("eth0"), receivers)


def _party(host: Host, container: str, network: str) -> Party:
    found = json.loads(host.minirun("inspect", container).stdout)[0]["NetworkSettings"]["Networks"][network]
    return Party(found["MacAddress"], found["IPAddress"], found["GlobalIPv6Address"], _link_local(found["MacAddress"]))


def _link_local(mac: str) -> str:
    one = [int(part, 16) for part in mac.split(":")]
    return str(IPv6Address(bytes([0xFE, 0x80, *bytes(6), one[0] ^ 2, one[1], one[2], 0xFF, 0xFE, *one[3:]])))


def from_evil(scene: Scene, target: str, kind: int, payload: bytes) -> bytes:
    return ether(scene.evil.mac, target, kind, payload)


def discovery(scene: Scene, kind: int, body: bytes, source: str = "", extension: bytes = b"") -> bytes:
    """ICMPv6 to all nodes, from its own link-local address if no other is given, behind an extension header of type
    extension[0]."""
    source = source or scene.evil.local
    message = icmp6(source, ALL_NODES, kind, body)
    if extension:
        inner = ip(source, ALL_NODES, extension[0], extension[1:] + message)
    else:
        inner = ip(source, ALL_NODES, ICMP6, message)
    return from_evil(scene, ALL_NODES_MAC, IP6, inner)


def tagged(scene: Scene, tag: int) -> bytes:
    inner = struct.pack("!HH", 0, IP4) + udp(scene.gateway.ip, scene.victim.ip, 53, 53)
    return from_evil(scene, scene.victim.mac, tag, inner)


ROUTER = struct.pack("!BBHII", 64, 0, 1800, 0, 0)
OPTIONS = bytes([ICMP6, 0, 1, 4, 0, 0, 0, 0])  # padding
FRAGMENT = bytes([ICMP6, 0, 0, 0, 0, 0, 0, 7])  # a first and last one

HONEST: dict[str, Callable[[Scene], bytes]] = {
    "IPv4 to everybody": lambda s: from_evil(s, EVERYBODY, IP4, udp(s.evil.ip, "255.255.255.255", 5, 5)),
    "IPv4": lambda s: from_evil(s, s.victim.mac, IP4, udp(s.evil.ip, s.victim.ip, 68, 53)),
    "IPv6": lambda s: from_evil(s, s.victim.mac, IP6, udp(s.evil.ip6, s.victim.ip6, 5, 53)),
    "IPv6, link-local": lambda s: from_evil(s, s.gateway.mac, IP6, udp(s.evil.local, s.gateway.local, 5, 53)),
    "ARP request": lambda s: from_evil(s, EVERYBODY, ARP, arp(1, s.evil.mac, s.evil.ip, EVERYBODY, s.victim.ip)),
    "ARP reply": lambda s: from_evil(s, s.victim.mac, ARP, arp(2, s.evil.mac, s.evil.ip, s.victim.mac, s.victim.ip)),
    "neighbour advertisement": lambda s: discovery(s, 136, advertisement(s.evil.ip6, s.evil.mac)),
    "neighbour advertisement, link-local": lambda s: discovery(s, 136, advertisement(s.evil.local, s.evil.mac)),
    "whether its address is free": lambda s: discovery(s, 135, bytes(4) + IPv6Address(s.evil.ip6).packed, "::"),
    "echo request": lambda s: discovery(s, 128, bytes(4), s.evil.ip6),
}
HOSTILE: dict[str, Callable[[Scene], bytes]] = {
    "the victim's MAC": lambda s: ether(s.victim.mac, EVERYBODY, IP4, udp(s.evil.ip, "255.255.255.255", 5, 6)),
    "nobody's MAC": lambda s: ether(NOBODY, s.gateway.mac, IP4, udp(s.evil.ip, s.gateway.ip, 5, 5)),
    "the gateway's MAC and IPv4": lambda s: ether(
        s.gateway.mac, s.victim.mac, IP4, udp(s.gateway.ip, s.victim.ip, 5, 5)
    ),
    "the victim's IPv4": lambda s: from_evil(s, s.gateway.mac, IP4, udp(s.victim.ip, s.gateway.ip, 5, 5)),
    "an outside IPv4": lambda s: from_evil(s, s.victim.mac, IP4, udp("203.0.113.1", s.victim.ip, 5, 5)),
    "no IPv4": lambda s: from_evil(s, EVERYBODY, IP4, udp("0.0.0.0", "255.255.255.255", 68, 67)),
    "loopback": lambda s: from_evil(s, s.victim.mac, IP4, udp("127.0.0.1", s.victim.ip, 5, 5)),
    "the resolver": lambda s: from_evil(s, s.victim.mac, IP4, udp(RESOLVER, s.victim.ip, 53, 5)),
    "ARP: the resolver": lambda s: from_evil(
        s, s.victim.mac, ARP, arp(2, s.evil.mac, RESOLVER, s.victim.mac, s.victim.ip)
    ),
    "ARP: the gateway": lambda s: from_evil(
        s, s.victim.mac, ARP, arp(2, s.evil.mac, s.gateway.ip, s.victim.mac, s.victim.ip)
    ),
    "ARP: the gateway, to everybody": lambda s: from_evil(
        s, EVERYBODY, ARP, arp(1, s.evil.mac, s.gateway.ip, EVERYBODY, s.gateway.ip)
    ),
    "ARP: the victim": lambda s: from_evil(
        s, s.gateway.mac, ARP, arp(2, s.evil.mac, s.victim.ip, s.gateway.mac, s.gateway.ip)
    ),
    "ARP: itself, in another's frame": lambda s: ether(
        s.victim.mac, EVERYBODY, ARP, arp(1, s.evil.mac, s.evil.ip, EVERYBODY, s.gateway.ip)
    ),
    "ARP: its address at another's MAC": lambda s: from_evil(
        s, EVERYBODY, ARP, arp(1, s.victim.mac, s.evil.ip, EVERYBODY, s.gateway.ip)
    ),
    "the victim's IPv6": lambda s: from_evil(s, s.gateway.mac, IP6, udp(s.victim.ip6, s.gateway.ip6, 5, 5)),
    "the victim's link-local": lambda s: from_evil(s, s.gateway.mac, IP6, udp(s.victim.local, s.gateway.local, 5, 5)),
    "the gateway's IPv6": lambda s: from_evil(s, s.victim.mac, IP6, udp(s.gateway.ip6, s.victim.ip6, 5, 5)),
    "a router": lambda s: discovery(s, 134, ROUTER),
    "a router, behind options": lambda s: discovery(s, 134, ROUTER, extension=b"\0" + OPTIONS),
    "a router, behind options for the target": lambda s: discovery(s, 134, ROUTER, extension=b"\x3c" + OPTIONS),
    "a router, as a fragment": lambda s: discovery(s, 134, ROUTER, extension=b"\x2c" + FRAGMENT),
    "a redirect": lambda s: discovery(
        s, 137, bytes(4) + IPv6Address(s.evil.local).packed + IPv6Address("2001:db8::1").packed
    ),
    "advertisement: the gateway": lambda s: discovery(s, 136, advertisement(s.gateway.ip6, s.evil.mac)),
    "advertisement: the gateway, link-local": lambda s: discovery(s, 136, advertisement(s.gateway.local, s.evil.mac)),
    "advertisement: the victim": lambda s: discovery(s, 136, advertisement(s.victim.ip6, s.evil.mac), s.evil.ip6),
    "advertisement from nobody": lambda s: discovery(s, 136, advertisement(s.evil.ip6, s.evil.mac), "::"),
    "advertisement behind options": lambda s: discovery(
        s, 136, advertisement(s.gateway.ip6, s.evil.mac), extension=b"\0" + OPTIONS
    ),
    "whether the victim's address is free": lambda s: discovery(
        s, 135, bytes(4) + IPv6Address(s.victim.ip6).packed, "::"
    ),
    "a DHCP server": lambda s: from_evil(s, EVERYBODY, IP4, udp(s.evil.ip, "255.255.255.255", 67, 68)),
    "a DHCPv6 server": lambda s: from_evil(s, s.victim.mac, IP6, udp(s.evil.local, s.victim.local, 547, 546)),
    "a tag of VLAN 0": lambda s: tagged(s, 0x8100),
    "a provider's tag": lambda s: tagged(s, 0x88A8),
    "LLDP": lambda s: from_evil(s, s.victim.mac, 0x88CC, bytes(46)),
    "SNAP": lambda s: from_evil(s, s.victim.mac, 50, b"\xaa\xaa\x03\0\0\0\x08\0" + bytes(42)),
}


LOOPBACK: dict[str, Callable[[Scene], bytes]] = {
    "the victim's 127.0.0.1": lambda s: from_evil(s, s.victim.mac, IP4, udp(s.evil.ip, "127.0.0.1", 5, 5)),
    "by TCP": lambda s: from_evil(s, s.victim.mac, IP4, tcp_syn(s.evil.ip, "127.0.0.1", 80)),
    "another": lambda s: from_evil(s, s.victim.mac, IP4, udp(s.evil.ip, "127.255.0.1", 5, 5)),
    "the victim's 127.0.0.11": lambda s: from_evil(s, s.victim.mac, IP4, udp(s.evil.ip, "127.0.0.11", 5, 53)),
    "the host's 127.0.0.11": lambda s: from_evil(s, s.gateway.mac, IP4, udp(s.evil.ip, "127.0.0.11", 5, 53)),
}


@pytest.mark.parametrize("what", list(LOOPBACK))
def test_loopback_addresses_stay_inside(scenes: dict[str, Scene], what: str) -> None:
    """Containers accept replies from 127.0.0.11 (route_localnet), and so would accept these, too."""
    for scene in scenes.values():
        assert scene.arrived([LOOPBACK[what](scene)]) == [False]


@pytest.mark.parametrize("what", list(HOSTILE))
def test_what_somebody_else_would_say(scenes: dict[str, Scene], what: str) -> None:
    assert scenes["loose"].arrived([HOSTILE[what](scenes["loose"])]) == [True]
    assert scenes["strict"].arrived([HOSTILE[what](scenes["strict"])]) == [False]


@pytest.mark.parametrize("br_netfilter", [1, 0])
def test_br_netfilter_changes_nothing(scenes: dict[str, Scene], br_netfilter: int) -> None:
    """br_netfilter rewrites headers and passes frames to routing, but after minirun's rules."""
    scene = scenes["strict"]
    scene.host.sh(BR_NETFILTER.format(br_netfilter))
    assert scene.arrived([make(scene) for make in HONEST.values()]) == [True] * len(HONEST)
    assert scene.arrived([make(scene) for make in HOSTILE.values()]) == [False] * len(HOSTILE)


@pytest.mark.parametrize("what", ["ARP: the gateway", "ARP: the victim", "advertisement: the gateway"])
def test_neighbour_tables_stay_true(scenes: dict[str, Scene], what: str) -> None:
    for name, scene in scenes.items():
        if what == "ARP: the victim":
            enter, link, address, mac = "", scene.bridge, scene.victim.ip, scene.victim.mac
        else:
            enter, link, mac = f"nsenter --net=/run/netns/victim-{name}", "eth0", scene.gateway.mac
            address = scene.gateway.ip if what.startswith("ARP") else scene.gateway.ip6
        scene.host.sh(f"{enter} sh -c 'echo 0 > /proc/sys/net/ipv4/neigh/{link}/locktime'")
        scene.host.sh(f"{enter} ip neigh replace {address} lladdr {mac} dev {link} nud reachable")
        time.sleep(0.02)  # an entry holds for the tick that it was made in
        scene.arrived([HOSTILE[what](scene)])
        believed = json.loads(scene.host.sh(f"{enter} ip -j neigh show {address} dev {link}"))[0]["lladdr"]
        assert believed == (mac if name == "strict" else scene.evil.mac)


def test_the_bridge_does_not_learn_where_somebody_else_is(scenes: dict[str, Scene]) -> None:
    assert not _learns(scenes["strict"], EVERYBODY)
    eventually(lambda: _learns(scenes["loose"], EVERYBODY))  # unless the victim says something of its own in between


@pytest.mark.parametrize("group", ["01:80:c2:00:00:0e", "01:80:c2:00:00:02"])
def test_nor_from_frames_that_never_leave_a_link(scenes: dict[str, Scene], group: str) -> None:
    """They pass no hook, so no rule can drop them."""
    for scene in scenes.values():
        assert not _learns(scene, group)
    scene.host.sh(f"ip link set {scene.bridge} type bridge no_linklocal_learn 0")
    eventually(lambda: _learns(scene, group))
    scene.host.sh(f"ip link set {scene.bridge} type bridge no_linklocal_learn 1")


def _learns(scene: Scene, group: str) -> bool:
    scene.arrived([])
    true_port = scene.port_of(scene.victim.mac)
    assert true_port != scene.port_of(scene.evil.mac)
    scene.arrived([])
    scene.sender.send(ether(scene.victim.mac, group, 0x88CC, bytes(46)))
    scene.receivers[1].frames(0.05)
    return scene.port_of(scene.victim.mac) != true_port


def test_the_host_does_not_listen_to_frames_that_never_leave_a_link(scenes: dict[str, Scene]) -> None:
    """They arrive on the port itself, not on the bridge that all other rules match."""
    scene = scenes["strict"]
    scene.host.sh("ip address add 192.0.2.1/32 dev lo")
    server = Netns.of(scene.host).serve(5000, "0.0.0.0", ("udp",))
    (listening,) = server.sockets.values()
    listening.settimeout(0.1)
    for filtered in (True, False):
        if not filtered:
            scene.host.sh(f"echo 0 > /proc/sys/net/ipv4/conf/{scene.port_of(scene.evil.mac)}/rp_filter")
        scene.arrived([ether(scene.evil.mac, "01:80:c2:00:00:0e", IP4, udp("203.0.113.1", "192.0.2.1", 5, 5000))])
        try:
            heard = listening.recv(99)
        except TimeoutError:
            heard = b""
        assert bool(heard) != filtered
    server.close()
