"""The nftables table of family inet: its chains as text, a pure function of the networks.

How a packet passes it:

    guard        (prerouting, raw)     drops packets from other hosts to 127.0.0.0/8 (the bridges have route_localnet
                                       on, which would otherwise expose the host's 127.0.0.1), packets from them to a
                                       container's own address, and what an internal network may not send to the host
    prerouting   (nat, dstnat)         translates published ports of this host's addresses to the container (DNAT)
    output       (nat, -100)           the same for packets that the host itself sends
    forward      (filter)              lets into a network only replies, published ports and its own members, and
                                       nothing out of an internal one
    postrouting  (nat, srcnat)         masquerades what leaves a network, and connections whose replies would otherwise
                                       return by a shorter path and never be translated back

The host's own ::1 needs two more steps, since IPv6 has no route_localnet. The kernel translates the destination of a
container's reply back to ::1, and accepts that from no interface but lo. So `loopback_reply`, just after the
translation, replaces it by the bridge's address, which passes the route lookup, and `loopback_input` restores ::1 once
the packet is on its way to a socket. That is safe: only replies to connections of this host are changed, and the kernel
refuses packets *from* ::1 that did not come by lo.

The rules that every packet meets come first or are left out: round trips between containers are within 3 % of a bridge
with Docker's rules. Hooks and priorities: nft(8).
"""

from collections.abc import Iterable, Iterator

from minirun.model import Network
from minirun.network.dns.veth import DNS_SERVER
from minirun.network.firewall.elements import INET_SETS, Element, render_sets
from minirun.network.firewall.policy import ISOLATED, ROUTED, UNPROTECTED, Policy

_FAMILIES = ((4, "ip", ""), (6, "ip6", "6"))
_CHAINS = """
  chain guard {
    type filter hook prerouting priority raw; policy accept;
    ip daddr 127.0.0.0/8 iif != "lo" counter drop comment "other hosts cannot reach the host's loopback"
    ip saddr 127.0.0.0/8 iif != "lo" counter drop comment "forged source: the host's loopback"
    iifname vmap @from_network
    ip daddr @closed iif != "lo" counter drop comment "containers are reachable only through published ports"
    ip6 daddr @closed6 iif != "lo" counter drop comment "containers are reachable only through published ports"
    ip saddr @closed iif != "lo" counter drop comment "forged source: a container's address"
    ip6 saddr @closed6 iif != "lo" counter drop comment "forged source: a container's address"
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
    tcp flags syn / syn,rst jump clamp_mss
{internal}    ct state established,related accept
    oifname vmap @to_network
  }
  chain clamp_mss {
    iifname @bridges tcp option maxseg size set rt mtu
    oifname @bridges tcp option maxseg size set rt mtu
  }
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr 127.0.0.0/8 oifname @bridges masquerade comment "from the host's loopback to a published port"
    ip6 saddr ::1 oifname @bridges masquerade comment "from the host's loopback to a published port"
    ct status dnat ip daddr . iifname @other_bridges masquerade comment "replies must return through the host"
    ct status dnat ip6 daddr . iifname @other_bridges6 masquerade comment "replies must return through the host"
    ip saddr vmap @sources
    ip6 saddr vmap @sources6
  }"""
# Only where a network needs them: every packet of all others would pass them too.
_FORWARD_INTERNAL = "    iifname vmap @from_internal\n"
_LOOPBACK6 = """
  chain loopback_reply {
    type filter hook prerouting priority -90; policy accept;
    ip6 daddr ::1 ct direction reply ip6 daddr set iifname map @gateways6
  }
  chain loopback_input {
    type filter hook input priority 101; policy accept;
    iifname @bridges ip6 saddr ::1 ip6 daddr set ::1
  }"""


def render(
    table: str, networks: list[Network], elements: Iterable[Element], fault_chains: Iterable[str] = ()
) -> list[str]:
    """Return the lines of one nft(8) transaction that replaces the table.

    table: its name, such as "minirun"
    networks: all bridge networks
    elements: everything that its sets and maps hold
    fault_chains: those of faults.py
    """
    return [
        f"table inet {table} {{}}",
        f"delete table inet {table}",
        f"table inet {table} {{",
        '  comment "minirun generates this table from its records and overwrites changes made by hand"',
        *render_sets(INET_SETS, elements),
        _CHAINS.replace("{internal}", _FORWARD_INTERNAL if any(network.internal for network in networks) else ""),
        *([_LOOPBACK6] if any(network.pool6 for network in networks) else []),
        *("\n".join(_chains(network)) for network in networks),
        *fault_chains,
        "}",
    ]


def _chains(network: Network) -> Iterator[str]:
    policy, bridge = Policy.of(network), f'"{network.bridge}"'
    yield from _chain(f"into_{network.chain}", network, _into(network, policy))
    if network.internal:
        yield from _chain(f"out_of_{network.chain}", network, [f"oifname != {bridge} counter drop"])
        yield from _chain(f"within_{network.chain}", network, _within(network, policy))
    else:
        yield from _chain(f"from_{network.chain}", network, _from(network, policy))


def _chain(name: str, network: Network, lines: Iterable[str]) -> Iterator[str]:
    body = "\n".join(f"    {line}" for line in [f'comment "network {network.name}"', *lines])
    yield f"\n  chain {name} {{\n{body}\n  }}"


def _into(network: Network, policy: Policy) -> Iterator[str]:
    """Which new connections may enter the network."""
    if policy.icc:
        yield f'iifname "{network.bridge}" accept'
    else:  # with br_netfilter, bridged packets pass this chain too
        yield f'iifname "{network.bridge}" ip daddr {DNS_SERVER} accept'
    if not network.internal:
        yield "ct status dnat accept"
        for version, ip, six in _FAMILIES:
            is_open = f"{ip} daddr . meta l4proto . th dport @open{six} accept"
            mode = policy.modes.get(version)
            if mode == UNPROTECTED:
                yield f"meta nfproto ipv{version} iifname != @bridges accept"
            elif mode == ROUTED:
                yield f"{'meta l4proto icmp' if version == 4 else 'icmpv6 type echo-request'} accept"
                yield is_open
            elif mode and policy.trusted:
                names = ", ".join(f'"{name}"' for name in policy.trusted)
                yield f"iifname {{ {names} }} {is_open}"
    yield f'counter drop comment "neither published nor from network {network.name}"'


def _from(network: Network, policy: Policy) -> Iterator[str]:
    """Which source address the network's containers use towards others."""
    bridge = f'"{network.bridge}"'
    yield f'oifname {bridge} ct status dnat masquerade comment "replies must return through the host"'
    yield "oifname @bridges return"
    for version in policy.modes:
        if policy.masquerades(version):
            yield f"meta nfproto ipv{version} masquerade"


def _within(network: Network, policy: Policy) -> Iterator[str]:
    """Members of an internal network reach at most the gateway's address of this host."""
    for version, ip, _ in _FAMILIES:
        pool = network.pool if version == 4 else network.pool6
        gateway = f"{ip} daddr != {pool.gateway} " if pool and policy.modes[version] != ISOLATED else ""
        link_local = "ip6 daddr != fe80::/10 " if gateway and version == 6 else ""
        yield f"meta nfproto ipv{version} fib daddr type local {gateway}{link_local}counter drop"
