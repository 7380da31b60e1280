"""Elements of the nftables sets and maps, and which of them a network, an endpoint or a published port needs.

The declarations of the table of family inet are here; those of family bridge are in antispoof.py. rules.py has the
chains that look elements up.
"""

from collections.abc import Iterable, Iterator
from itertools import permutations
from typing import NamedTuple

from minirun.kernel.nft_elements import SetElement
from minirun.model import AnyAddress, Endpoint, Network, Publication
from minirun.network.firewall.policy import ISOLATED, Policy

INET_SETS = {
    "bridges": "type ifname",  # all of minirun's
    "to_network": "type ifname : verdict",  # by output bridge: the chain that decides what enters the network
    "from_network": "type ifname : verdict",  # by input bridge: accept, or the chain of an internal network
    "from_internal": "type ifname : verdict",  # by input bridge: what leaves an internal network
    "gateways6": "type ifname : ipv6_addr",
    "closed": "type ipv4_addr; flags interval",  # subnets that no outside host may address directly
    "closed6": "type ipv6_addr; flags interval",
    "sources": "type ipv4_addr : verdict; flags interval",  # by source subnet: the chain that masquerades
    "sources6": "type ipv6_addr : verdict; flags interval",
    **{
        f"published{six}{suffix}": f"type {at}inet_proto . inet_service : {address}{port}"
        for address, six in (("ipv4_addr", ""), ("ipv6_addr", "6"))
        for suffix, at, port in (
            ("", "", " . inet_service"),
            ("_at", f"{address} . ", " . inet_service"),
            ("_ranges", "", "; flags interval"),
            ("_ranges_at", f"{address} . ", "; flags interval"),
        )
    },
    # A container's address, and another bridge that it has an endpoint on: its replies to clients there would not
    # return through the host.
    "other_bridges": "type ipv4_addr . ifname",
    "other_bridges6": "type ipv6_addr . ifname",
    "open": "type ipv4_addr . inet_proto . inet_service; flags interval",  # reachable by the container's own address
    "open6": "type ipv6_addr . inet_proto . inet_service; flags interval",
}


class Element(NamedTuple):
    """One element of a set or map, in nft(8)'s syntax.

    family: of the table, inet or bridge
    name: of the set or map
    value: of a map; empty in a set
    comment: the container's short id
    """

    family: str
    name: str
    key: str
    value: str = ""
    comment: str = ""

    def __str__(self) -> str:
        comment = f' comment "{self.comment}"' if self.comment else ""
        return f"{self.key}{comment} : {self.value}" if self.value else f"{self.key}{comment}"

    def in_table(self, table: str, declarations: dict[str, str]) -> SetElement:
        """Return the form that the kernel room adds and deletes by netlink."""
        return SetElement(self.family, table, self.name, declarations[self.name], self.key, self.value, self.comment)


def render_sets(declarations: dict[str, str], elements: Iterable[Element]) -> list[str]:
    """Return the lines that define the sets and maps of one table with their elements.

    declarations: name to type, as INET_SETS
    """
    contents: dict[str, list[str]] = {name: [] for name in declarations}
    for element in elements:
        contents[element.name].append(str(element))
    lines = []
    for name, declaration in declarations.items():
        body = f" elements = {{ {', '.join(sorted(contents[name]))} }};" if contents[name] else ""
        lines += [f"  {'map' if ':' in declaration else 'set'} {name} {{ {declaration};{body}", "  }"]
    return lines


def elements_of_network(network: Network) -> Iterator[Element]:
    """Yield what one bridge network needs, whatever its endpoints are."""
    policy, bridge = Policy.of(network), f'"{network.bridge}"'
    yield Element("inet", "bridges", bridge)
    yield bridge_element(network)
    yield Element("inet", "from_network", bridge, f"goto within_{network.chain}" if network.internal else "accept")
    if network.internal:
        yield Element("inet", "from_internal", bridge, f"jump out_of_{network.chain}")
    if network.pool6 and policy.modes[6] != ISOLATED:
        yield Element("inet", "gateways6", bridge, str(network.pool6.gateway))
    for pool, six in ((network.pool, ""), (network.pool6, "6")):
        if pool is None:
            continue
        if policy.is_closed(pool.subnet.version):
            yield Element("inet", f"closed{six}", str(pool.subnet))
        if not network.internal:
            yield Element("inet", f"sources{six}", str(pool.subnet), f"jump from_{network.chain}")


def bridge_element(network: Network) -> Element:
    """Return the element whose addition fails when the tables do not know the network yet: its chain is missing."""
    return Element("inet", "to_network", f'"{network.bridge}"', f"jump into_{network.chain}")


def elements_of_port(port: Publication, policy: Policy) -> Iterator[Element]:
    """Yield the DNAT entries of a published port; none on a routed network, which is reached without translation.

    A range whose host and container ports are equal is one element, however long it is.
    """
    mapping, target, six = port.mapping, port.target, suffix(port.target)
    if policy.is_routed(target):
        return
    address = mapping.host_address
    everywhere = address is None or address.is_unspecified
    at, prefix = ("", "") if everywhere else ("_at", f"{address} . ")
    key, comment = f"{prefix}{mapping.protocol} . ", port.container[:12]
    if mapping.count > 1 and mapping.host_port == mapping.container_port:
        ports = _port_range(mapping.host_port, mapping.count)
        yield Element("inet", f"published{six}_ranges{at}", key + ports, str(target), comment)
        return
    for step in range(mapping.count):
        destination = f"{target} . {mapping.container_port + step}"
        yield Element("inet", f"published{six}{at}", f"{key}{mapping.host_port + step}", destination, comment)


def elements_of_open(ports: Iterable[Publication]) -> Iterator[Element]:
    """Yield the entries of all ports that are reachable by the container's own address.

    It needs all of them at once: several may lead to one container port and their ranges may overlap, which an
    interval set refuses, so ranges are merged.
    """
    ranges: dict[tuple[AnyAddress, str, str], list[range]] = {}
    for port in ports:
        first, key = port.mapping.container_port, (port.target, port.mapping.protocol, port.sandbox[:12])
        ranges.setdefault(key, []).append(range(first, first + port.mapping.count))
    for (target, protocol, sandbox), spans in ranges.items():
        for span in _merged(spans):
            key_text = f"{target} . {protocol} . {_port_range(span.start, len(span))}"
            yield Element("inet", f"open{suffix(target)}", key_text, comment=sandbox)


def elements_of_other_bridges(endpoints: Iterable[tuple[Endpoint, Network]]) -> Iterator[Element]:
    """Yield, for each address of a sandbox, the other bridges that it has an endpoint on.

    endpoints: all those of the sandboxes concerned
    """
    sandboxes: dict[str, list[tuple[Endpoint, Network]]] = {}
    for endpoint, network in endpoints:
        sandboxes.setdefault(endpoint.sandbox, []).append((endpoint, network))
    for members in sandboxes.values():
        for (endpoint, _), (other, other_network) in permutations(members, 2):
            for address, other_address in ((endpoint.address, other.address), (endpoint.address6, other.address6)):
                if address and other_address:
                    key = f'{address} . "{other_network.bridge}"'
                    yield Element("inet", f"other_bridges{suffix(address)}", key, comment=endpoint.sandbox[:12])


def suffix(address: AnyAddress) -> str:
    """Return how the names of sets for this address family end."""
    return "" if address.version == 4 else "6"


def _merged(spans: list[range]) -> list[range]:
    merged: list[range] = []
    for span in sorted(spans, key=lambda span: span.start):
        if merged and span.start <= merged[-1].stop:
            merged[-1] = range(merged[-1].start, max(merged[-1].stop, span.stop))
        else:
            merged.append(span)
    return merged


def _port_range(first: int, count: int) -> str:
    return str(first) if count == 1 else f"{first}-{first + count - 1}"
