"""Records whose tables are compared with golden text and loaded into the kernel."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from minirun.model import Endpoint, Network, Pool, PortMapping, Publication
from minirun.network.firewall import antispoof
from minirun.network.firewall.elements import INET_SETS

SETS = {"inet": INET_SETS, "bridge": antispoof.BRIDGE_SETS}


BRIDGE = "com.docker.network.bridge."


DEFAULT = Network(
    "a" * 64, "bridge", 0, pool=Pool(IPv4Network("172.17.0.0/16"), IPv4Address("172.17.0.1")), bridge="minirun0"
)


CUSTOM = Network(
    "b" * 64, "db", 0, pool=Pool(IPv4Network("10.1.0.0/24"), IPv4Address("10.1.0.1")), bridge="mr-bbbbbbbbbb"
)


SIX = replace(CUSTOM, pool6=Pool(IPv6Network("fd01::/64"), IPv6Address("fd01::1")))


WEB = Publication("c" * 64, "c" * 64, PortMapping(80, 8080), IPv4Address("172.17.0.2"))


LOCAL = Publication("d" * 64, "d" * 64, PortMapping(53, 5353, "udp", IPv4Address("127.0.0.1")), IPv4Address("10.1.0.2"))


MEMBER = Endpoint("d" * 64, 0, CUSTOM.id, IPv4Address("10.1.0.2"), IPv6Address("fd01::2"))


SECOND = Endpoint("d" * 64, 1, DEFAULT.id, IPv4Address("172.17.0.2"))


def published(text: str, target: str) -> Publication:
    """8000-8009:9000/udp, at an address or none: as a record of the member's."""
    at, first, count, container_port, protocol = text.split()
    address = IPv6Address(at) if ":" in at else IPv4Address(at)
    mapping = PortMapping(int(container_port), int(first), protocol, address, int(count))
    return Publication("d" * 64, "d" * 64, mapping, IPv6Address(target) if ":" in target else IPv4Address(target))


def with_options(network: Network, **options: str) -> Network:
    return replace(network, options=tuple((BRIDGE + key, text) for key, text in options.items()))


FOUR = published("0.0.0.0 8080 1 80 tcp", "10.1.0.2")


PORTS6 = [published(":: 8080 1 80 tcp", "fd01::2"), published("::1 5353 1 53 udp", "fd01::2")]


RANGES = [
    published("0.0.0.0 49152 16384 49152 udp", "10.1.0.2"),  # one element
    published("192.0.2.1 8000 3 8000 tcp", "10.1.0.2"),
    published(":: 8000 3 8000 tcp", "fd01::2"),
    published("fd99::1 9000 3 9000 udp", "fd01::2"),
    published("0.0.0.0 3868 1 3868 sctp", "10.1.0.2"),
    published("0.0.0.0 7000 2 6000 tcp", "10.1.0.2"),  # other ports in the container: one element for each
]


BOTH = [FOUR, *PORTS6[:1]]


CASES: dict[str, tuple[list[Network], list[Publication], list[Endpoint]]] = {
    "empty": ([], [], []),
    "default": ([DEFAULT], [], []),
    "published": ([DEFAULT], [WEB], [Endpoint("c" * 64, 0, DEFAULT.id, IPv4Address("172.17.0.2"))]),
    "two-networks": ([DEFAULT, CUSTOM], [WEB, LOCAL], []),
    "ipv6": ([SIX], [FOUR, *PORTS6], [MEMBER]),
    "ranges": ([SIX], RANGES, [MEMBER]),
    "internal": ([replace(SIX, internal=True)], [], [MEMBER]),
    "isolated": (
        [replace(with_options(SIX, gateway_mode_ipv4="isolated", gateway_mode_ipv6="isolated"), internal=True)],
        [],
        [MEMBER],
    ),
    "icc-off": ([with_options(SIX, enable_icc="false")], [FOUR], [MEMBER]),
    "masquerade-off": ([with_options(SIX, enable_ip_masquerade="false")], BOTH, [MEMBER]),
    "routed": ([with_options(SIX, gateway_mode_ipv4="routed", gateway_mode_ipv6="routed")], BOTH, [MEMBER]),
    "routed-overlapping": (
        [with_options(SIX, gateway_mode_ipv4="routed")],
        [FOUR, published("0.0.0.0 9000 9 78 tcp", "10.1.0.2"), published("127.0.0.1 80 1 80 tcp", "10.1.0.2")],
        [MEMBER],
    ),
    "nat-unprotected": (
        [with_options(SIX, gateway_mode_ipv4="nat-unprotected", gateway_mode_ipv6="nat-unprotected")],
        BOTH,
        [MEMBER],
    ),
    "trusted": ([with_options(SIX, trusted_host_interfaces="wg0:tun0")], [*BOTH, *RANGES[:1]], [MEMBER]),
    "two-endpoints": ([DEFAULT, SIX], [FOUR], [MEMBER, SECOND]),
    "antispoof-off": ([replace(CUSTOM, options=(("minirun.antispoof", "false"),))], [], [MEMBER]),
}
