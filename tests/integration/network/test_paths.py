"""Every path to a container, and as whom it sees who comes; and every path that is closed. By real packets, on one host
that has a foreign table which lets everything pass."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass

import pytest

from tests.harness.frames import IP4, IP6, ether, udp
from tests.harness.lan_topology import AWAY, AWAY6, LAN, LAN6, LanTopology, Pair, lan_topology
from tests.harness.netns_sockets import Server

FOREIGN = """
table ip filter {
  chain FORWARD {
    type filter hook forward priority filter; policy accept;
    counter accept
  }
}
"""
HOST, LOOPBACK = (LAN, LAN6), ("127.0.0.1", "::1")
Way = tuple[str, str | Pair, int]  # from, to, port


@dataclass(frozen=True)
class Scene:
    topology: LanTopology
    web: Server  # on port 80 of `web` in the network `here`
    own: Server  # a program of the host's, on port 9999 of its loopback
    both: Server  # on port 80 of `both`, which is in `there`, too


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    with lan_topology() as made:
        made.host.run(["nft", "-f", "-"], input=FOREIGN)
        # As careless as an interface can be.
        made.host.sh("cd /proc/sys/net/ipv4/conf/lan0; echo 1 > route_localnet; echo 1 > accept_local")
        for network in ("here", "there"):
            made.network(network, "--ipv6")
        ports = [f"{place}:80{kind}" for place in ("8080", "127.0.0.1:8081", "[::1]:8081") for kind in ("", "/udp")]
        web = made.container("web", "--net", "here", *(word for port in ports for word in ("-p", port))).serve(80)
        words = ("--net", "here", "--net", "there", "-p", "8082:80", "-p", "8082:80/udp")
        both = made.container("both", *words).serve(80)
        made.container("same", "--net", "here")
        made.container("other", "--net", "there")
        four, six = (made.netns["host"].serve(9999, address) for address in LOOPBACK)
        own = Server(four.sockets | six.sockets)
        yield Scene(made, web, own, both)
        for server in (web, both, own):
            server.close()


@pytest.fixture(params=[1, 0], ids=["br_netfilter", ""])
def either(scene: Scene, request: pytest.FixtureRequest) -> Scene:
    """The scene, with the kernel's br_netfilter on, and off."""
    scene.topology.br_netfilter(request.param)
    return scene


# From where, by which address and port, seen as; a name stands for the addresses of a container, or of the host on a
# network.
PATHS: dict[str, tuple[str, str | Pair, int, str | Pair]] = {
    "another machine, by the host's address": ("away", HOST, 8080, (AWAY, AWAY6)),
    "the host, by its own address": ("host", HOST, 8080, HOST),
    "the host, by loopback": ("host", LOOPBACK, 8080, "here"),
    "the host, by loopback, published there alone": ("host", LOOPBACK, 8081, "here"),
    "the host, by the gateway's address": ("host", "here", 8080, "here"),
    "the host, by the container's address": ("host", "web", 80, "here"),
    "the same network, by the host's address": ("same", HOST, 8080, "here"),
    "the same network, by the gateway's address": ("same", "here", 8080, "here"),
    "the same network, by the container's address": ("same", "web", 80, "same"),
    "another network, by the host's address": ("other", HOST, 8080, "other"),
    "another network, by its gateway's address": ("other", "there", 8080, "other"),
    "itself, by the host's address": ("web", HOST, 8080, "here"),
    "itself, by its own address": ("web", "web", 80, "web"),
}


@pytest.mark.parametrize("path", list(PATHS))
def test_as_whom_a_container_sees_who_comes(either: Scene, path: str) -> None:
    *way, wanted = PATHS[path]
    four, six = either.topology.pair(wanted)
    assert either.topology.seen(either.web, *way) == [four, four, six, six]


@pytest.mark.parametrize("source", ["same", "other"])
def test_a_container_in_the_network_of_who_comes_is_reached_too(either: Scene, source: str) -> None:
    """It has a leg there, and would answer by it, where nobody translates the reply."""
    four, six = either.topology.addresses["here"]
    assert either.topology.seen(either.both, source, HOST, 8082) == [four, four, six, six]


CLOSED: dict[str, Way] = {
    "another machine, by the container's address": ("away", "web", 80),
    "another machine, to what is published on loopback": ("away", HOST, 8081),
    "another machine, to what is not published": ("away", HOST, 80),
    "another machine, to the gateway's address": ("away", "here", 8081),
    "another network, by the container's address": ("other", "web", 80),
    "another network, to what is published on loopback": ("other", HOST, 8081),
    "the same network, to what is published on loopback": ("same", HOST, 8081),
}
OWN: dict[str, Way] = {
    "a container, by the gateway's address": ("other", "there", 9999),
    "a container, by the host's address": ("other", HOST, 9999),
    "another machine, by the host's address": ("away", HOST, 9999),
}


@pytest.mark.parametrize("path", list(CLOSED))
def test_what_is_not_published_is_closed(either: Scene, path: str) -> None:
    assert either.topology.arrivals(either.web, *CLOSED[path]) == 0


@pytest.mark.parametrize("path", list(OWN))
def test_the_hosts_loopback_is_closed_to_containers_and_neighbours(either: Scene, path: str) -> None:
    assert either.topology.arrivals(either.own, *OWN[path]) == 0


# What no honest kernel sends: from where, the packet, and whether the host's own program or the container would get it.
Forgery = tuple[str, Callable[[dict[str, Pair]], bytes], str]
FORGED: dict[str, Forgery] = {
    "to loopback": ("away", lambda at: udp(AWAY, "127.0.0.1", 5, 9999), "own"),
    "to loopback, from a container": ("other", lambda at: udp(at["other"][0], "127.0.0.1", 5, 9999), "own"),
    "to a port published on loopback": ("away", lambda at: udp(AWAY, "127.0.0.1", 5, 8081), "web"),
    "as loopback": ("away", lambda at: udp("127.0.0.1", LAN, 5, 8080), "web"),
    "as a container": ("away", lambda at: udp(at["other"][0], LAN, 5, 8080), "web"),
    "as a container, IPv6": ("away", lambda at: udp(at["other"][1], LAN6, 5, 8080), "web"),
}
REFUSED: dict[str, Forgery] = {  # by the kernel itself
    "to loopback, IPv6": ("away", lambda at: udp(AWAY6, "::1", 5, 9999), "own"),
    "as loopback, IPv6": ("away", lambda at: udp("::1", LAN6, 5, 8080), "web"),
}


@pytest.mark.parametrize("what", [*FORGED, *REFUSED])
def test_forged_packets_arrive_nowhere(either: Scene, what: str) -> None:
    assert _forge(either, *(FORGED | REFUSED)[what]) == 0


def test_the_tests_above_see_what_comes_through(scene: Scene) -> None:
    """Without the chains that drop, all of it does."""
    host = scene.topology.host
    names = [line.split()[1] for line in host.sh("nft list table inet minirun").splitlines() if "chain " in line]
    with host.unwatched():
        for name in names:
            if name == "guard" or name.startswith("into_"):
                host.sh(f"nft flush chain inet minirun {name}")
        host.sh("nft flush chain bridge minirun to_loopback")
        for path in ("another machine, by the container's address", "another network, by the container's address"):
            assert scene.topology.arrivals(scene.web, *CLOSED[path]) == 4
        assert {what: _forge(scene, *FORGED[what]) for what in FORGED} == dict.fromkeys(FORGED, 1)


def _forge(scene: Scene, source: str, make: Callable[[dict[str, Pair]], bytes], listener: str) -> int:
    """How many of such packets come to the listener, sent to the host's hardware address."""
    server = scene.own if listener == "own" else scene.web
    server.heard()
    packet = make(scene.topology.addresses)
    link = "lan0" if source == "away" else scene.topology.bridges["there"]
    target = json.loads(scene.topology.host.sh(f"ip -j link show {link}"))[0]["address"]
    with closing(scene.topology.netns[source].packet_socket("eth0")) as wire:
        wire.send(ether(wire.address, target, IP4 if packet[0] >> 4 == 4 else IP6, packet))
    time.sleep(0.02)
    return server.heard()
