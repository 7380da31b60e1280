"""A test topology: a throwaway host with IPv4 and IPv6, and an outside host on its LAN with a route to every network.

The tests speak with the containers by sockets of their own, opened in the network namespaces of the topology.
"""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.harness.host import Host, Neighbour
from tests.harness.netns_sockets import Netns, Probe, Server

LAN, LAN6 = "192.0.2.1", "2001:db8:2::1"
AWAY, AWAY6 = "192.0.2.2", "2001:db8:2::2"
BOTH = ("tcp", "udp")
_SWITCHES = "/proc/sys/net/bridge/bridge-nf-call-ip*tables"
Pair = tuple[str, ...]  # an IPv4 address, an IPv6 address


@dataclass
class LanTopology:
    host: Host
    lan: Neighbour
    netns: dict[str, Netns] = field(default_factory=dict)  # of each container, "host" and "away"
    addresses: dict[str, Pair] = field(default_factory=dict)  # of each container, and of the host on each network
    bridges: dict[str, str] = field(default_factory=dict)

    def network(self, name: str, *words: str) -> None:
        identity = self.host.minirun("network", "create", *words, name).stdout
        self.bridges[name] = f"mr-{identity[:10]}"
        config = json.loads(self.host.minirun("network", "inspect", name).stdout)[0]["IPAM"]["Config"]
        self.addresses[name] = tuple(one["Gateway"] for one in config)

    def container(self, name: str, *words: str) -> Netns:
        """On the networks given by --net; known by its addresses on the first."""
        self.host.minirun("run", "-d", "--name", name, *words, "busybox", "sleep", "1000")
        networks = json.loads(self.host.minirun("inspect", name).stdout)[0]["NetworkSettings"]["Networks"]
        first = networks[words[words.index("--net") + 1]]
        self.addresses[name] = tuple(one for one in (first["IPAddress"], first["GlobalIPv6Address"]) if one)
        self.netns[name] = Netns.of(self.host, name)
        return self.netns[name]

    def pair(self, what: str | Pair) -> Pair:
        return self.addresses[what] if isinstance(what, str) else what

    def br_netfilter(self, switch: int) -> None:
        self.host.sh(f"for one in {_SWITCHES}; do [ ! -e $one ] || echo {switch} > $one; done")

    def seen(self, server: Server, source: str, target: str | Pair, port: int) -> list[str]:
        """As whom, by tcp and udp over each family."""
        return [
            server.asked(self.netns[source], protocol, address, port, 1)
            for address in self.pair(target)
            for protocol in BOTH
        ]

    def arrivals(self, server: Server, source: str, target: str | Pair, port: int) -> int:
        """How many of these come through."""
        server.heard()
        places = [(protocol, address) for address in self.pair(target) for protocol in BOTH]
        probes = [Probe(self.netns[source], protocol, address, port) for protocol, address in places]
        time.sleep(0.03)
        for probe in probes:
            probe.close()
        return server.heard()


@contextmanager
def lan_topology() -> Iterator[LanTopology]:
    with Host() as host:
        lan = host.neighbour(default_route=True)
        host.sh(f"ip address add {LAN6}/64 dev lan0 nodad; ip -6 route add default via {AWAY6}")
        lan.sh(
            f"ip address add {AWAY6}/64 dev eth0 nodad; ip route add 172.16.0.0/12 via {LAN};"
            f" ip -6 route add fd00::/8 via {LAN6}"
        )
        made = LanTopology(host, lan, {"host": Netns.of(host), "away": Netns.beside(lan)})
        made.br_netfilter(1)  # what a container needs for that is there from its start
        yield made
