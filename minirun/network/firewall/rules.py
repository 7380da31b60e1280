"""The nft table of family inet, as text: its maps and chains, and what one network and one published port put there."""

from collections.abc import Iterable, Iterator
from itertools import permutations

from minirun.model import AnyAddress, Endpoint, Network, Publication
from minirun.network.dns.veth import RESOLVER
from minirun.network.firewall.elements import Element, definitions
from minirun.network.firewall.policy import ISOLATED, ROUTED, UNPROTECTED, Policy

_FAMILIES = ((4, "ip", ""), (6, "ip6", "6"))
KINDS = {
    "members": "type ifname",  # every bridge
    "bridges": "type ifname : verdict",  # by where a packet leaves
    "inside": "type ifname : verdict",  # every bridge, by where it has come from
    "leaving": "type ifname : verdict",
    "gateways6": "type ifname : ipv6_addr",
    "closed": "type ipv4_addr; flags interval",
    "closed6": "type ipv6_addr; flags interval",
    "sources": "type ipv4_addr : verdict; flags interval",
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
    # A container's address, and a bridge that it has another leg on: by that it would answer who comes from there.
    "kin": "type ipv4_addr . ifname",
    "kin6": "type ipv6_addr . ifname",
    "open": "type ipv4_addr . inet_proto . inet_service; flags interval",
    "open6": "type ipv6_addr . inet_proto . inet_service; flags interval",
}
_BASE = """
  chain guard {
    type filter hook prerouting priority raw; policy accept;
    ip daddr 127.0.0.0/8 iif != "lo" counter drop comment "the host's loopback is not for its neighbours"
    ip saddr 127.0.0.0/8 iif != "lo" counter drop comment "nobody else speaks as the host's loopback"
    iifname vmap @inside
    ip daddr @closed iif != "lo" counter drop comment "containers are reached by published ports"
    ip6 daddr @closed6 iif != "lo" counter drop comment "containers are reached by published ports"
    ip saddr @closed iif != "lo" counter drop comment "nobody else speaks as a container"
    ip6 saddr @closed6 iif != "lo" counter drop comment "nobody else speaks as a container"
  }
  chain prerouting {
    type nat hook prerouting priority dstnat; policy accept;
    fib daddr type local jump publish
  }
  chain output {
    type nat hook output priority -100; policy accept;
    fib daddr type local jump publish
  }
  chain publish {
    dnat ip to ip daddr . meta l4proto . th dport map @published_at
    dnat ip to ip daddr . meta l4proto . th dport map @published_ranges_at
    dnat ip to meta l4proto . th dport map @published
    dnat ip to meta l4proto . th dport map @published_ranges
    dnat ip6 to ip6 daddr . meta l4proto . th dport map @published6_at
    dnat ip6 to ip6 daddr . meta l4proto . th dport map @published6_ranges_at
    dnat ip6 to meta l4proto . th dport map @published6
    dnat ip6 to meta l4proto . th dport map @published6_ranges
  }
  chain forward {
    type filter hook forward priority filter; policy accept;
    tcp flags syn / syn,rst jump clamp
{leaving}    ct state established,related accept
    oifname vmap @bridges
  }
  chain clamp {
    iifname @members tcp option maxseg size set rt mtu
    oifname @members tcp option maxseg size set rt mtu
  }
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr 127.0.0.0/8 oifname @members masquerade comment "the host's loopback to a published port"
    ip6 saddr ::1 oifname @members masquerade comment "the host's loopback to a published port"
    ct status dnat ip daddr . iifname @kin masquerade comment "in both networks: the reply must pass here"
    ct status dnat ip6 daddr . iifname @kin6 masquerade comment "in both networks: the reply must pass here"
    ip saddr vmap @sources
    ip6 saddr vmap @sources6
  }"""
# These only where a network asks for them: every packet of all the others would pass them, too.
_LEAVING = "    iifname vmap @leaving\n"
_LOOPBACK6 = """
  chain loopback_reply {
    type filter hook prerouting priority -90; policy accept;
    ip6 daddr ::1 ct direction reply ip6 daddr set iifname map @gateways6
  }
  chain loopback_input {
    type filter hook input priority 101; policy accept;
    iifname @members ip6 saddr ::1 ip6 daddr set ::1
  }"""


def render(table: str, nets: list[Network], elements: Iterable[Element]) -> list[str]:
    return [
        f"table inet {table} {{}}",
        f"delete table inet {table}",
        f"table inet {table} {{",
        '  comment "minirun renders this table from its records; changes by hand are overwritten"',
        *definitions(KINDS, elements),
        _BASE.replace("{leaving}", _LEAVING if any(net.internal for net in nets) else ""),
        *([_LOOPBACK6] if any(net.pool6 for net in nets) else []),
        *("\n".join(_chains(net)) for net in nets),
        "}",
    ]


def elements_of_network(net: Network) -> Iterator[Element]:
    policy = Policy.of(net)
    yield Element("inet", "members", f'"{net.bridge}"')
    yield bridge_element(net)
    yield Element("inet", "inside", f'"{net.bridge}"', f"goto within_{net.chain}" if net.internal else "accept")
    if net.internal:
        yield Element("inet", "leaving", f'"{net.bridge}"', f"jump out_of_{net.chain}")
    if net.pool6 and policy.modes[6] != ISOLATED:
        yield Element("inet", "gateways6", f'"{net.bridge}"', str(net.pool6.gateway))
    for pool, six in ((net.pool, ""), (net.pool6, "6")):
        if pool is None:
            continue
        if policy.is_closed(pool.subnet.version):
            yield Element("inet", f"closed{six}", str(pool.subnet))
        if not net.internal:
            yield Element("inet", f"sources{six}", str(pool.subnet), f"jump from_{net.chain}")


def bridge_element(net: Network) -> Element:
    return Element("inet", "bridges", f'"{net.bridge}"', f"jump into_{net.chain}")


def elements_of_port(port: Publication, policy: Policy) -> Iterator[Element]:
    """A range whose ports are the same inside and outside is one element, however many they are."""
    mapping, target, six = port.mapping, port.target, _six(port.target)
    if policy.is_routed(target):
        return  # by its own address only
    address = mapping.host_address
    everywhere = address is None or address.is_unspecified
    at, prefix = ("", "") if everywhere else ("_at", f"{address} . ")
    key, comment = f"{prefix}{mapping.protocol} . ", port.container[:12]
    if mapping.count > 1 and mapping.host_port == mapping.container_port:
        span = _span(mapping.host_port, mapping.count)
        yield Element("inet", f"published{six}_ranges{at}", key + span, str(target), comment)
        return
    for step in range(mapping.count):
        inside = f"{target} . {mapping.container_port + step}"
        yield Element("inet", f"published{six}{at}", f"{key}{mapping.host_port + step}", inside, comment)


def elements_of_open(ports: Iterable[Publication]) -> Iterator[Element]:
    """Those that are reached by the container's own address. Several may lead to one port inside, and their ranges may
    overlap, which a set does not take: so these are made of all that there are."""
    inside: dict[tuple[AnyAddress, str, str], list[range]] = {}
    for port in ports:
        first, key = port.mapping.container_port, (port.target, port.mapping.protocol, port.sandbox[:12])
        inside.setdefault(key, []).append(range(first, first + port.mapping.count))
    for (target, protocol, whose), spans in inside.items():
        for span in _merged(spans):
            ports_there = f"{target} . {protocol} . {_span(span.start, len(span))}"
            yield Element("inet", f"open{_six(target)}", ports_there, comment=whose)


def elements_of_kin(legs: Iterable[tuple[Endpoint, Network]]) -> Iterator[Element]:
    """Of sandboxes all of whose legs are given."""
    sandboxes: dict[str, list[tuple[Endpoint, Network]]] = {}
    for end, net in legs:
        sandboxes.setdefault(end.sandbox, []).append((end, net))
    for found in sandboxes.values():
        for (end, _), (other, beyond) in permutations(found, 2):
            for address, there in ((end.address, other.address), (end.address6, other.address6)):
                if address and there:
                    key = f'{address} . "{beyond.bridge}"'
                    yield Element("inet", f"kin{_six(address)}", key, comment=end.sandbox[:12])


def _chains(net: Network) -> Iterator[str]:
    policy, bridge = Policy.of(net), f'"{net.bridge}"'
    yield from _chain(f"into_{net.chain}", net, _into(net, policy))
    if net.internal:
        yield from _chain(f"out_of_{net.chain}", net, [f"oifname != {bridge} counter drop"])
        yield from _chain(f"within_{net.chain}", net, _within(net, policy))
    else:
        yield from _chain(f"from_{net.chain}", net, _from(net, policy))


def _chain(name: str, net: Network, lines: Iterable[str]) -> Iterator[str]:
    body = "\n".join(f"    {line}" for line in [f'comment "network {net.name}"', *lines])
    yield f"\n  chain {name} {{\n{body}\n  }}"


def _into(net: Network, policy: Policy) -> Iterator[str]:
    """Who may begin to speak to its containers."""
    if policy.icc:
        yield f'iifname "{net.bridge}" accept'
    else:  # with br_netfilter, what passes over the bridge comes by here
        yield f'iifname "{net.bridge}" ip daddr {RESOLVER.network_address} accept'
    if not net.internal:
        yield "ct status dnat accept"
        for version, ip, six in _FAMILIES:
            is_open = f"{ip} daddr . meta l4proto . th dport @open{six} accept"
            mode = policy.modes.get(version)
            if mode == UNPROTECTED:
                yield f"meta nfproto ipv{version} iifname != @members accept"
            elif mode == ROUTED:
                yield f"{'meta l4proto icmp' if version == 4 else 'icmpv6 type echo-request'} accept"
                yield is_open
            elif mode and policy.trusted:
                names = ", ".join(f'"{name}"' for name in policy.trusted)
                yield f"iifname {{ {names} }} {is_open}"
    yield f'counter drop comment "not published, and not from network {net.name}"'


def _from(net: Network, policy: Policy) -> Iterator[str]:
    """As whom its containers speak to others."""
    yield f'oifname "{net.bridge}" ct status dnat masquerade comment "back to the own bridge: the reply must pass here"'
    yield "oifname @members return"
    for version in policy.modes:
        if policy.masquerades(version):
            yield f"meta nfproto ipv{version} masquerade"


def _within(net: Network, policy: Policy) -> Iterator[str]:
    """Of this host, the members of an internal network see the gateway's address at most."""
    for version, ip, _ in _FAMILIES:
        pool = net.pool if version == 4 else net.pool6
        gateway = f"{ip} daddr != {pool.gateway} " if pool and policy.modes[version] != ISOLATED else ""
        more = "ip6 daddr != fe80::/10 " if gateway and version == 6 else ""
        yield f"meta nfproto ipv{version} fib daddr type local {gateway}{more}counter drop"


def _merged(spans: list[range]) -> list[range]:
    found: list[range] = []
    for span in sorted(spans, key=lambda one: one.start):
        if found and span.start <= found[-1].stop:
            found[-1] = range(found[-1].start, max(found[-1].stop, span.stop))
        else:
            found.append(span)
    return found


def _six(address: AnyAddress) -> str:
    """How the names of maps and sets end."""
    return "" if address.version == 4 else "6"


def _span(first: int, count: int) -> str:
    return str(first) if count == 1 else f"{first}-{first + count - 1}"
