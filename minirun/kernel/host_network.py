"""A copy of this host's network for a throwaway host: links with their addresses, routes, and other programs' rules.

The copy carries no packets. It is there for decisions: which subnets and names are taken, which addresses a port may be
published on, the MTU of the way outside, and which firewall drops forwarded packets.
"""

import re
import socket
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from minirun.kernel.netlink_sockets import complete, rtnetlink
from minirun.kernel.netns import netns_nameless
from minirun.kernel.nft import NftError, nft_ruleset, transact

_MAIN_TABLE = 254  # RT_TABLE_MAIN
_MADE_BY_KERNEL = 2  # RTPROT_KERNEL: with an address
_NO_DETECTION = 0x02  # IFA_F_NODAD
_LINK_SCOPE = 253  # RT_SCOPE_LINK
_LAYOUT = re.compile(r"\s*(table .* \{|chain .* \{|type .* hook .*|\})$")


@dataclass(frozen=True)
class HostNetwork:
    """What the copy is made of. Links, addresses and routes are pyroute2's messages, rules nft's text of a table."""

    links: tuple[Any, ...]
    addresses: tuple[Any, ...]
    routes: tuple[Any, ...]
    rules: tuple[str, ...]


def host_network(own_links: Collection[str], own_tables: Collection[tuple[str, str]]) -> HostNetwork:
    """Read this host's network, without the links and the tables (family, name) that minirun will make itself.

    Ends of veth pairs without an address are left out, too: they belong to containers. So are routes of other tables
    than main, and rules of iptables-legacy.
    """
    with rtnetlink() as ipr:
        addresses = complete(ipr.get_addr)
        used = {message["index"] for message in addresses}
        links = [link for link in complete(ipr.get_links) if _is_copied(link, own_links, used)]
        routes = [route for route in complete(lambda: ipr.get_routes(table=_MAIN_TABLE)) if _is_added(route)]
    tables: dict[tuple[str, str], str] = {}
    with suppress(NftError):  # a table that this nft cannot list
        tables = nft_ruleset()
    rules = (text for key, text in tables.items() if key not in own_tables)
    return HostNetwork(tuple(links), tuple(addresses), tuple(routes), tuple(rules))


def _is_copied(link: Any, own_links: Collection[str], used: set[int]) -> bool:
    name = link.get_attr("IFLA_IFNAME")
    return name != "lo" and name not in own_links and (_kind(link) != "veth" or link["index"] in used)


def _kind(link: Any) -> str:
    """bridge, veth ...; "" for a physical link."""
    info = link.get_attr("IFLA_LINKINFO")
    return (info.get_attr("IFLA_INFO_KIND") or "") if info is not None else ""


def _is_added(route: Any) -> bool:
    return route["proto"] != _MADE_BY_KERNEL and route.get_attr("RTA_OIF") is not None


def host_network_imitate(network: HostNetwork) -> None:
    """Make the copy in the caller's network namespace. What this kernel does not take is left out.

    A bridge is a bridge without ports; any other link is one end of a veth pair, whose other end nobody sees.
    """
    indexes: dict[int, int] = {}
    behind = netns_nameless()
    with rtnetlink() as ipr:
        for link in network.links:
            with suppress(OSError):
                indexes[link["index"]] = _link_add(ipr, link, behind)
        for message in network.addresses:
            if message["index"] in indexes:
                with suppress(OSError):
                    _address_add(ipr, message, indexes[message["index"]])
        # Routes to a gateway come after the route that leads to it.
        for route in sorted(network.routes, key=lambda route: route["scope"] != _LINK_SCOPE):
            if route.get_attr("RTA_OIF") in indexes:
                with suppress(OSError):
                    ipr.route("add", **_route(route, indexes))
    for text in network.rules:
        _table_add(text)


def _link_add(ipr: Any, link: Any, behind: int) -> int:
    name, mtu, mac = (link.get_attr(f"IFLA_{key}") for key in ("IFNAME", "MTU", "ADDRESS"))
    values = {"address": mac} if mac and len(mac.split(":")) == 6 else {}
    if _kind(link) == "bridge":
        ipr.link("add", ifname=name, kind="bridge", **values)
    else:
        peer = {"ifname": name, "net_ns_fd": behind, "state": "up"}
        ipr.link("add", ifname=name, kind="veth", peer=peer, **values)
    index = socket.if_nametoindex(name)
    with suppress(OSError):
        ipr.link("set", index=index, mtu=mtu)
    if link["flags"] & 1:  # IFF_UP
        ipr.link("set", index=index, state="up")
    return index


def _address_add(ipr: Any, message: Any, index: int) -> None:
    address = message.get_attr("IFA_LOCAL") or message.get_attr("IFA_ADDRESS")
    flags = {"flags": _NO_DETECTION} if ":" in address else {}
    ipr.addr("add", index=index, address=address, prefixlen=message["prefixlen"], **flags)


def _route(route: Any, indexes: dict[int, int]) -> dict[str, Any]:
    keys = {"gateway": "RTA_GATEWAY", "prefsrc": "RTA_PREFSRC", "priority": "RTA_PRIORITY"}
    given = {key: value for key, name in keys.items() if (value := route.get_attr(name)) is not None}
    target = route.get_attr("RTA_DST")
    return {
        "family": route["family"],
        "dst": f"{target}/{route['dst_len']}" if target else "default",
        "oif": indexes[route.get_attr("RTA_OIF")],
        "scope": route["scope"],
        "proto": route["proto"],
        **given,
    }


def _table_add(text: str) -> None:
    """Add a table; without its rules when nft cannot read back what it lists of iptables' extensions. The policies of
    its chains are then still there."""
    for attempt in (text, "\n".join(_layout(text))):
        with suppress(NftError):
            return transact(attempt)
    return None


def _layout(text: str) -> Iterator[str]:
    """Yield the lines that define a table's chains, without sets and rules."""
    depth = skipped = 0
    for line in text.splitlines():
        opens, closes = line.rstrip().endswith("{"), line.strip() == "}"
        depth += opens - closes
        if opens and not _LAYOUT.match(line):
            skipped = depth
        if not skipped and _LAYOUT.match(line):
            yield line
        if closes and depth < skipped:
            skipped = 0
