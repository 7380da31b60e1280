"""Every path to a container, and as whom it sees who comes; and every path that is closed. By real packets, on one host
that has a foreign table which lets everything pass."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass

import pytest

from tests.harness import Host, Neighbour
from tests.harness.frames import IP4, IP6, ether, udp
from tests.harness.stack import Knock, Server, Stack

FOREIGN = """
table ip filter {
  chain FORWARD {
    type filter hook forward priority filter; policy accept;
    counter accept
  }
}
"""
LAN, LAN6 = "192.0.2.1", "2001:db8:2::1"
AWAY, AWAY6 = "192.0.2.2", "2001:db8:2::2"
BR_NETFILTER = "for one in /proc/sys/net/bridge/bridge-nf-call-ip*tables; do [ ! -e $one ] || echo {} > $one; done"


@dataclass(frozen=True)
class Town:
    host: Host
    lan: Neighbour
    stacks: dict[str, Stack]
    addresses: dict[str, tuple[str, str]]  # of each container, and of the host on each network
    web: Server
    bridge: str  # of the other network


@pytest.fixture(scope="module")
def town() -> Iterator[Town]:
    with Host() as host:
        host.sh(BR_NETFILTER.format(1))
        lan = host.neighbour(default_route=True)
        host.sh(f"ip address add {LAN6}/64 dev lan0 nodad; ip -6 route add default via {AWAY6}")
        lan.sh(f"ip address add {AWAY6}/64 dev eth0 nodad")
        host.run(["nft", "-f", "-"], input=FOREIGN)
        host.minirun("network", "create", "--ipv6", "here")
        bridge = f"mr-{host.minirun('network', 'create', '--ipv6', 'there').stdout[:10]}"
        ports = [
            word
            for one in ("8080:80", "127.0.0.1:8081:80", "[::1]:8081:80")
            for word in ("-p", one, "-p", f"{one}/udp")
        ]
        for name, words in (
            ("web", ["--net", "here", *ports]),
            ("same", ["--net", "here"]),
            ("other", ["--net", "there"]),
        ):
            host.minirun("run", "-d", "--name", name, *words, "busybox", "sleep", "1000")
        # As a neighbour would who wants in: with a route to the containers' addresses.
        lan.sh(f"ip route add 172.16.0.0/12 via {LAN}; ip -6 route add fd00::/8 via {LAN6}")
        stacks = {name: Stack.of(host, name) for name in ("web", "same", "other")}
        stacks |= {"host": Stack.of(host), "away": Stack.beside(lan)}
        web = stacks["web"].serve(80)
        yield Town(host, lan, stacks, _addresses(host), web, bridge)
        web.close()


def _addresses(host: Host) -> dict[str, tuple[str, str]]:
    found = {}
    for name, network in (("web", "here"), ("same", "here"), ("other", "there")):
        one = json.loads(host.minirun("inspect", name).stdout)[0]["NetworkSettings"]["Networks"][network]
        found[name] = (one["IPAddress"], one["GlobalIPv6Address"])
        found[network] = (one["Gateway"], one["IPv6Gateway"])
    return found


# From where, by which address and port, seen as; an address is a container's, or that of the host on a network.
PATHS = {
    "another machine, by the host's address": ("away", (LAN, LAN6), 8080, (AWAY, AWAY6)),
    "the host, by its own address": ("host", (LAN, LAN6), 8080, (LAN, LAN6)),
    "the host, by loopback": ("host", ("127.0.0.1", "::1"), 8080, "here"),
    "the host, by loopback, published there alone": ("host", ("127.0.0.1", "::1"), 8081, "here"),
    "the host, by the gateway's address": ("host", "here", 8080, "here"),
    "the host, by the container's address": ("host", "web", 80, "here"),
    "the same network, by the host's address": ("same", (LAN, LAN6), 8080, "here"),
    "the same network, by the gateway's address": ("same", "here", 8080, "here"),
    "the same network, by the container's address": ("same", "web", 80, "same"),
    "another network, by the host's address": ("other", (LAN, LAN6), 8080, "other"),
    "another network, by its gateway's address": ("other", "there", 8080, "other"),
    "itself, by the host's address": ("web", (LAN, LAN6), 8080, "here"),
    "itself, by its own address": ("web", "web", 80, "web"),
}


@pytest.mark.parametrize("br_netfilter", [1, 0])
def test_as_whom_a_container_sees_who_comes(town: Town, br_netfilter: int) -> None:
    town.host.sh(BR_NETFILTER.format(br_netfilter))
    seen, expected = {}, {}
    for path, (source, target, port, wanted) in PATHS.items():
        for family in (0, 1):
            for protocol in ("tcp", "udp"):
                address = _pair(town, target)[family]
                case = path, protocol, address
                seen[case] = town.web.asked(town.stacks[source], protocol, address, port, 1)
                expected[case] = _pair(town, wanted)[family]
    assert seen == expected


def _pair(town: Town, what: str | tuple[str, str]) -> tuple[str, str]:
    return town.addresses[what] if isinstance(what, str) else what


@dataclass(frozen=True)
class Way:
    """One that must be closed: who goes where, or the frame that he sends."""

    source: str
    target: str | tuple[str, str]
    port: int
    protocols: tuple[str, ...] = ("tcp", "udp")


DIRECT = Way("away", "web", 80)
CLOSED = {
    "another machine, by the container's address": DIRECT,
    "another machine, to what is published on loopback": Way("away", (LAN, LAN6), 8081),
    "another machine, to what is not published": Way("away", (LAN, LAN6), 80),
    "another machine, to the gateway's address": Way("away", "here", 8081),
    "another network, by the container's address": Way("other", "web", 80),
    "another network, to what is published on loopback": Way("other", (LAN, LAN6), 8081),
    "the same network, to what is published on loopback": Way("same", (LAN, LAN6), 8081),
}
OWN = {  # where the host's own programs listen on loopback
    "a container, by the gateway's address": Way("other", "there", 9999),
    "a container, by the host's address": Way("other", (LAN, LAN6), 9999),
    "another machine, by the host's address": Way("away", (LAN, LAN6), 9999),
}


@pytest.mark.parametrize("br_netfilter", [1, 0])
def test_what_is_not_published_is_closed(town: Town, br_netfilter: int) -> None:
    town.host.sh(BR_NETFILTER.format(br_netfilter))
    assert _arrivals(town, town.web, CLOSED) == dict.fromkeys(CLOSED, 0)


def _arrivals(town: Town, server: Server, ways: dict[str, Way]) -> dict[str, int]:
    """By each way, how many come through."""
    found = {}
    for name, way in ways.items():
        server.heard()
        knocks = [
            Knock(town.stacks[way.source], protocol, address, way.port)
            for address in _pair(town, way.target)
            for protocol in way.protocols
        ]
        time.sleep(0.03)
        found[name] = server.heard()
        for knock in knocks:
            knock.close()
    return found


# What no honest kernel sends: from where, the packet, and whether the host's own program or the container would get it.
FORGED = {
    "to loopback": ("away", lambda town: udp(AWAY, "127.0.0.1", 5, 9999), "own"),
    "to loopback, from a container": (
        "other",
        lambda town: udp(town.addresses["other"][0], "127.0.0.1", 5, 9999),
        "own",
    ),
    "to a port published on loopback": ("away", lambda town: udp(AWAY, "127.0.0.1", 5, 8081), "web"),
    "as loopback": ("away", lambda town: udp("127.0.0.1", LAN, 5, 8080), "web"),
    "as a container": ("away", lambda town: udp(town.addresses["other"][0], LAN, 5, 8080), "web"),
    "as a container, IPv6": ("away", lambda town: udp(town.addresses["other"][1], LAN6, 5, 8080), "web"),
}
FORGED6 = {  # refused by the kernel itself
    "to loopback, IPv6": ("away", lambda town: udp(AWAY6, "::1", 5, 9999), "own"),
    "as loopback, IPv6": ("away", lambda town: udp("::1", LAN6, 5, 8080), "web"),
}


@pytest.mark.parametrize("br_netfilter", [1, 0])
def test_the_hosts_loopback_is_closed(town: Town, own: Server, br_netfilter: int) -> None:
    town.host.sh(BR_NETFILTER.format(br_netfilter))
    assert _arrivals(town, own, OWN) == dict.fromkeys(OWN, 0)
    forged = FORGED | FORGED6
    assert {name: _forged(town, own, *forged[name]) for name in forged} == dict.fromkeys(forged, 0)


def test_these_tests_see_what_comes_through(town: Town, own: Server) -> None:
    """Without the chains that drop, all of it does."""
    town.host.sh(
        "for one in $(nft list table inet minirun | sed -n 's/.*chain \\(guard\\|into_.*\\) {/\\1/p');"
        " do nft flush chain inet minirun $one; done"
    )
    for name in ("another machine", "another network"):
        path = f"{name}, by the container's address"
        assert _arrivals(town, town.web, {path: CLOSED[path]}) == {path: 4}
    assert {name: _forged(town, own, *FORGED[name]) for name in FORGED} == dict.fromkeys(FORGED, 1)
    town.host.sh("nft delete table inet minirun")
    town.host.minirun("run", "--rm", "busybox", "true")  # renders it again
    assert _arrivals(town, town.web, CLOSED) == dict.fromkeys(CLOSED, 0)


@pytest.fixture
def own(town: Town) -> Iterator[Server]:
    """A program of the host's, on loopback. And the LAN's interface as careless as an interface can be."""
    town.host.sh(
        "echo 1 > /proc/sys/net/ipv4/conf/lan0/route_localnet; echo 1 > /proc/sys/net/ipv4/conf/lan0/accept_local"
    )
    four, six = (town.stacks["host"].serve(9999, address) for address in ("127.0.0.1", "::1"))
    yield Server(four.sockets | six.sockets)
    four.close()
    six.close()


def _forged(town: Town, own: Server, source: str, make: Callable[[Town], bytes], listener: str) -> int:
    server = own if listener == "own" else town.web
    server.heard()
    packet = make(town)
    link = "lan0" if source == "away" else town.bridge
    target = json.loads(town.host.sh(f"ip -j link show {link}"))[0]["address"]
    with closing(town.stacks[source].wire("eth0")) as wire:
        wire.send(ether(wire.address, target, IP4 if packet[0] >> 4 == 4 else IP6, packet))
    time.sleep(0.02)
    return server.heard()
