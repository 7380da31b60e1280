"""The nft table of family bridge: what a container may say on the wire, where its frame enters the bridge, and to whom,
where it leaves.

It speaks as itself: its own hardware address with its own IP addresses, in the frame, in ARP and in neighbour
advertisements. It is no router (RFC 4861) and no DHCP server. Frames are dropped before the bridge learns from them,
and before br_netfilter, where that is on, translates anything. What is neither ARP nor IP has no business here: a tag
of VLAN 0 is taken off by whoever receives it, and would smuggle the packet inside past the rules.

Frames to the groups that never leave a link (IEEE 802.1D, 01:80:c2:00:00:0x) pass no hook of the bridge. It learns from
them all the same, and hands them to the host on the port itself: drivers/bridge.py and kernel/links.py see to that.

Where containers may not communicate (enable_icc=false), no frame passes from one of their ports to another. All do to
the bridge itself, and to the resolver's port. With br_netfilter there is one exception: a frame that was sent to the
bridge, to a published port, goes straight on to the container. It has been taken in as the host's own, and that still
shows; an isolated port (bridge(8)) would not look, and drop it.

Nearly all that passes is TCP of a container that speaks as itself, and for that one look suffices: it is what nothing
below would drop.

Only ports of endpoints are looked at. The resolver's port, and what an administrator adds to a bridge, are not.
"""

from collections.abc import Iterable, Iterator
from ipaddress import IPv6Address

from minirun.model import Endpoint, Network
from minirun.network.firewall.elements import Element, definitions
from minirun.network.firewall.policy import Policy

KINDS = {
    "ports": "type ifname",
    "isolated": "type ifname",
    "sources": "type ifname . ether_addr . ipv4_addr",
    "sources6": "type ifname . ether_addr . ipv6_addr",
    # The same as sources6, but of a type that a place in the packet without a name can be compared with.
    "targets6": "typeof iifname . ether saddr . @th,64,128",
}
_CHAINS = """
  chain prerouting {
    type filter hook prerouting priority -300; policy accept;
    ip protocol tcp iifname . ether saddr . ip saddr @sources accept
    ip6 nexthdr tcp iifname . ether saddr . ip6 saddr @sources6 accept
    iifname @ports jump from_container
  }
  chain from_container {
    ether type != { arp, ip, ip6 } counter drop comment "neither ARP nor IP, or tagged"
    iifname . ether saddr . arp saddr ip @sources iifname . arp saddr ether . arp saddr ip @sources accept
    udp sport { 67, 547 } counter drop comment "a DHCP server"
    iifname . ether saddr . ip saddr @sources accept
    icmpv6 type { nd-router-advert, nd-redirect } counter drop comment "a router"
    icmpv6 type nd-neighbor-advert iifname . ether saddr . @th,64,128 != @targets6 counter drop comment "a neighbour"
    ip6 saddr :: icmpv6 type nd-neighbor-solicit iifname . ether saddr . @th,64,128 != @targets6 counter drop
    ip6 saddr :: icmpv6 type != { nd-router-solicit, nd-neighbor-solicit, mld2-listener-report } counter drop
    iifname . ether saddr . ip6 saddr @sources6 accept
    counter drop comment "somebody else's address"
  }"""
# Only where it has something to say: each frame from container to container would pass it.
_ISOLATION = """
  chain forward {
    type filter hook forward priority -300; policy accept;
    iifname @isolated oifname @isolated meta pkttype != host counter drop comment "no communication between containers"
  }"""


def render(table: str, nets: Iterable[Network], elements: Iterable[Element]) -> list[str]:
    """A new network means a new rendering, since its chains are not there yet (rules.py): so it is here, too, that it
    gets what it needs."""
    return [
        f"table bridge {table} {{}}",
        f"delete table bridge {table}",
        f"table bridge {table} {{",
        *definitions(KINDS, elements),
        _CHAINS,
        *([_ISOLATION] if not all(Policy.of(net).icc for net in nets) else []),
        "}",
    ]


def elements_of(endpoint: Endpoint, network: Network) -> Iterator[Element]:
    """What lets a container speak; the comment leads back to it. Without IPv6 addresses it says nothing in IPv6."""
    policy, port, whose = Policy.of(network), f'"{endpoint.veth}"', endpoint.sandbox[:12]
    if not policy.icc:
        yield Element("bridge", "isolated", port, comment=whose)
    if not policy.antispoof:
        return
    yield Element("bridge", "ports", port, comment=whose)
    if endpoint.address is not None:
        yield Element("bridge", "sources", f"{port} . {endpoint.mac} . {endpoint.address}", comment=whose)
    if endpoint.address6 is not None:
        own = (endpoint.address6, _link_local(endpoint.mac))
        for address in (*own, IPv6Address("::")):  # unspecified: it asks whether an address is free
            yield Element("bridge", "sources6", f"{port} . {endpoint.mac} . {address}", comment=whose)
        for address in own:
            yield Element("bridge", "targets6", f"{port} . {endpoint.mac} . {int(address):#034x}", comment=whose)


def _link_local(mac: str) -> IPv6Address:
    """As the kernel makes it (RFC 4291, appendix A)."""
    octets = bytes.fromhex(mac.replace(":", ""))
    number = bytes([octets[0] ^ 2, *octets[1:3], 0xFF, 0xFE, *octets[3:]])
    return IPv6Address(b"\xfe\x80" + bytes(6) + number)
