"""The nftables table of family bridge: which frames a container may send, and to which ports of its bridge.

A container may use only its own MAC address with its own IP addresses: in the frame, in ARP and in neighbour
advertisements. It may not act as a router (RFC 4861) or DHCP server. Frames are dropped before the bridge learns from
them, and before br_netfilter shows them to the host's rules. Other protocols than ARP and IP are dropped: receivers
remove a tag of VLAN 0, which would smuggle the packet inside past these rules.

Containers reach the DNS server at 127.0.0.11 (dns/veth.py). On the bridge that becomes the server's own address, and in
its replies 127.0.0.11 again: the host's rules, to which br_netfilter shows these packets too, never see a loopback
address. Frames to all other loopback addresses are dropped, on every bridge of this host: no host may send such
(RFC 1122, 3.2.1.3), and a container's interface would accept them.

Frames to the link-local groups (IEEE 802.1D, 01:80:c2:00:00:0x) pass no hook of the bridge, but it learns from them and
delivers them to the host on the port itself. drivers/bridge.py and kernel/links.py close that path.

Where containers may not communicate (enable_icc=false), no frame passes from one of their ports to another; all reach
the bridge itself and the DNS server's port. With br_netfilter there is one exception: a frame for a published port was
addressed to the bridge and is forwarded to the container directly. Its packet type still says "host", which the rule
checks; an isolated port (bridge(8)) would drop it.

Almost all traffic is TCP from a container's own address, so one lookup at the top accepts it.

Only endpoints' ports are checked, not the DNS server's and not what an administrator attaches to a bridge.
"""

from collections.abc import Iterable, Iterator
from ipaddress import IPv6Address

from minirun.model import Endpoint, Network
from minirun.network.dns.veth import DNS_ADDRESS, DNS_SERVER, MAC_PREFIX
from minirun.network.firewall.elements import Element, render_sets
from minirun.network.firewall.policy import Policy

BRIDGE_SETS = {
    "ports": "type ifname",
    "isolated": "type ifname",
    "sources": "type ifname . ether_addr . ipv4_addr",
    "sources6": "type ifname . ether_addr . ipv6_addr",
    # As sources6, but of a type that an unnamed payload field (the target of neighbour discovery) can be compared with.
    "targets6": "typeof iifname . ether saddr . @th,64,128",
}
_IS_SERVER = f"& ff:ff:00:00:00:00 == {MAC_PREFIX}:00:00:00:00"
_CHAINS = f"""
  chain prerouting {{
    type filter hook prerouting priority -300; policy accept;
    ip daddr 127.0.0.0/8 jump to_loopback
    ip protocol tcp iifname . ether saddr . ip saddr @sources accept
    ip6 nexthdr tcp iifname . ether saddr . ip6 saddr @sources6 accept
    iifname @ports jump from_container
  }}
  chain to_loopback {{
    ip daddr {DNS_ADDRESS} ether daddr {_IS_SERVER} ip daddr set {DNS_SERVER} return
    counter drop comment "a loopback address is nobody's on a network"
  }}
  chain postrouting {{
    type filter hook postrouting priority srcnat; policy accept;
    ip saddr {DNS_SERVER} ether saddr {_IS_SERVER} ip saddr set {DNS_ADDRESS}
  }}
  chain from_container {{
    ether type != {{ arp, ip, ip6 }} counter drop comment "neither ARP nor IP, or VLAN-tagged"
    iifname . ether saddr . arp saddr ip @sources iifname . arp saddr ether . arp saddr ip @sources accept
    udp sport {{ 67, 547 }} counter drop comment "containers may not be DHCP servers"
    iifname . ether saddr . ip saddr @sources accept
    icmpv6 type {{ nd-router-advert, nd-redirect }} counter drop comment "containers may not be routers"
    icmpv6 type nd-neighbor-advert iifname . ether saddr . @th,64,128 != @targets6 counter drop comment "forged target"
    ip6 saddr :: icmpv6 type nd-neighbor-solicit iifname . ether saddr . @th,64,128 != @targets6 counter drop
    ip6 saddr :: icmpv6 type != {{ nd-router-solicit, nd-neighbor-solicit, mld2-listener-report }} counter drop
    iifname . ether saddr . ip6 saddr @sources6 accept
    counter drop comment "forged source address"
  }}"""
# Only where a network needs it: every frame between containers would pass it.
_ISOLATION = """
  chain forward {
    type filter hook forward priority -300; policy accept;
    iifname @isolated oifname @isolated meta pkttype != host counter drop comment "no communication between containers"
  }"""


def render(
    table: str, networks: Iterable[Network], elements: Iterable[Element], fault_chains: Iterable[str] = ()
) -> list[str]:
    """Return the lines of one nft(8) transaction that replaces the table; arguments as for rules.render.

    A new network always causes a full rendering, because its chains in rules.py are missing, so the chain `forward` is
    there before the network's first endpoint.
    """
    return [
        f"table bridge {table} {{}}",
        f"delete table bridge {table}",
        f"table bridge {table} {{",
        *render_sets(BRIDGE_SETS, elements),
        _CHAINS,
        *([_ISOLATION] if not all(Policy.of(network).icc for network in networks) else []),
        *fault_chains,
        "}",
    ]


def elements_of(endpoint: Endpoint, network: Network) -> Iterator[Element]:
    """Yield what lets a container send from this endpoint; without IPv6 addresses it may send no IPv6 at all."""
    policy, port, sandbox = Policy.of(network), f'"{endpoint.veth}"', endpoint.sandbox[:12]
    if not policy.icc:
        yield Element("bridge", "isolated", port, comment=sandbox)
    if not policy.antispoof:
        return
    yield Element("bridge", "ports", port, comment=sandbox)
    if endpoint.address is not None:
        yield Element("bridge", "sources", f"{port} . {endpoint.mac} . {endpoint.address}", comment=sandbox)
    if endpoint.address6 is not None:
        own = (endpoint.address6, _link_local(endpoint.mac))
        for address in (*own, IPv6Address("::")):  # duplicate address detection sends from the unspecified address
            yield Element("bridge", "sources6", f"{port} . {endpoint.mac} . {address}", comment=sandbox)
        for address in own:
            yield Element("bridge", "targets6", f"{port} . {endpoint.mac} . {int(address):#034x}", comment=sandbox)


def _link_local(mac: str) -> IPv6Address:
    """The modified EUI-64 address that the kernel derives (RFC 4291, appendix A)."""
    octets = bytes.fromhex(mac.replace(":", ""))
    interface_id = bytes([octets[0] ^ 2, *octets[1:3], 0xFF, 0xFE, *octets[3:]])
    return IPv6Address(b"\xfe\x80" + bytes(6) + interface_id)
