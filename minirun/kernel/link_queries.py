"""Links, their addresses and routes, read from the kernel in the caller's network namespace (rtnetlink(7))."""

import fcntl
import socket
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

from pyroute2.netlink.rtnl import rt_scope, rt_type
from pyroute2.netlink.rtnl.ifinfmsg import IFF_RUNNING

from minirun.kernel.netlink import NETLINK_ROUTE, Message, answers_of, attributes, dump
from minirun.kernel.pyroute2_sockets import complete, rtnetlink
from minirun.kernel.rtnetlink import (
    AF_BRIDGE,
    IFF_UP,
    IFLA_IFNAME,
    IFLA_MASTER,
    LINK_HEADER_SIZE,
    RTM_GETLINK,
    link_flags,
    link_header,
    named,
)

Port = tuple[int, bool]  # the index of its bridge, whether it is up

_SIOCGIFFLAGS, _SIOCGIFADDR = 0x8913, 0x8915
_IPV6_BYTES = 16
_ADDRESSES6 = "/proc/thread-self/net/if_inet6"
# A wider route is nobody's network: it is the default route in halves, as VPNs make it (0.0.0.0/1 and 128.0.0.0/1).
_WIDEST = 8


@dataclass(frozen=True)
class Address:
    """An address of an interface."""

    address: IPv4Address | IPv6Address
    prefix: int  # bits

    def __str__(self) -> str:
        return f"{self.address}/{self.prefix}"


@dataclass(frozen=True)
class Interface:
    """One link. `peer` is the index of a veth's other end, in whichever namespace that is; of other kinds, the index
    of the link below."""

    index: int
    name: str
    kind: str  # bridge, veth, vxlan ...; "" for hardware and loopback
    mac: str
    mtu: int
    up: bool
    running: bool  # the carrier is on, and the kernel has noticed: until then it drops what is sent
    peer: int = 0
    master: int = 0
    alias: str = ""
    addresses: tuple[Address, ...] = ()  # without link-local ones


def interfaces() -> list[Interface]:
    """All links, in the order of their indexes."""
    with rtnetlink() as ipr:
        addresses: dict[int, list[Address]] = {}
        for message in complete(lambda: ipr.addr("dump")):
            if message["scope"] < rt_scope["link"]:
                addresses.setdefault(message["index"], []).append(_address(message))
        links = complete(lambda: ipr.link("dump"))
    return sorted((_interface(link, addresses) for link in links), key=lambda interface: interface.index)


def gateways() -> list[tuple[str, int]]:
    """(address, index of the interface) of each default route."""
    with rtnetlink() as ipr:
        routes = [
            route
            for family in (socket.AF_INET, socket.AF_INET6)
            for route in complete(lambda family=family: ipr.route("dump", family=family))  # type: ignore[misc]
        ]
    return [
        (str(ip_address(route.get("gateway"))), route.get("oif"))
        for route in routes
        if route["dst_len"] == 0 and route.get("gateway") and route.get("oif")
    ]


def networks_in_use(family: int) -> Iterator[tuple[IPv4Network | IPv6Network, str]]:
    """Every network of an address family that this host has an address in or, in any table, a route to, and the name
    of the link."""
    with rtnetlink() as ipr:
        addresses = complete(lambda: ipr.addr("dump", family=family))
        routes = complete(lambda: ipr.route("dump", family=family))
    for message in addresses:
        if message["family"] == family:
            yield ip_network(str(_address(message)), strict=False), _name(message["index"])
    for route in routes:
        if route["family"] == family and route.get("dst") and route["dst_len"] >= _WIDEST:
            name = _name(route.get("oif")) if route.get("oif") else "a route"
            yield ip_network(f"{route.get('dst')}/{route['dst_len']}", strict=False), name


@cache
def is_local(address: IPv4Address | IPv6Address) -> bool:
    """Whether the host has this address, as nft's `fib daddr type local` sees it (`ip route get`, type local)."""
    try:
        with rtnetlink() as ipr:
            routes = ipr.route("get", dst=str(address))
    except OSError:  # no route at all
        return False
    return bool(routes[0]["type"] == rt_type["local"])


def bridge_ports() -> dict[str, Port]:
    """Every link of this host that is a port of a bridge, by name; one request for all."""
    answers = dump(NETLINK_ROUTE, Message(RTM_GETLINK, 0, link_header(AF_BRIDGE)))
    return dict(_port(answer.body) for answer in answers)


def bridge_port(name: str) -> Port:
    """The same of one link; (0, False) when it does not exist or is no port."""
    (answer,) = answers_of(NETLINK_ROUTE, [Message(RTM_GETLINK, 0, link_header(), named(name))])
    return _port(answer.body)[1] if answer else (0, False)


def _port(body: bytes) -> tuple[str, Port]:
    """Name and state of the link that RTM_NEWLINK tells of."""
    found = attributes(body, LINK_HEADER_SIZE)
    name = found[IFLA_IFNAME].rstrip(b"\0").decode()
    return name, (int.from_bytes(found.get(IFLA_MASTER, b""), sys.byteorder), bool(link_flags(body) & IFF_UP))


class Interfaces:
    """Queries by ioctl (netdevice(7)), by one socket for all of them."""

    def __init__(self) -> None:
        self._addresses6: set[tuple[str, bytes]] | None = None
        self._control = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)

    def __enter__(self) -> "Interfaces":
        return self

    def __exit__(self, *_: object) -> None:
        self._control.close()

    def is_enabled(self, name: str) -> bool:
        """Whether an interface exists and is up."""
        try:
            answer = fcntl.ioctl(self._control, _SIOCGIFFLAGS, struct.pack("16s24x", name.encode()))
        except OSError:
            return False
        return bool(struct.unpack_from("h", answer, 16)[0] & IFF_UP)

    def has_address(self, name: str, address: bytes) -> bool:
        """Whether an interface has an address of either family (4 or 16 bytes)."""
        if len(address) == _IPV6_BYTES:
            self._addresses6 = _read_addresses6() if self._addresses6 is None else self._addresses6
            return (name, address) in self._addresses6
        # With an address in the request the kernel looks for that one first, and else returns another.
        sockaddr = struct.pack("=HH4s8x", socket.AF_INET, 0, address)
        try:
            answer = fcntl.ioctl(self._control, _SIOCGIFADDR, struct.pack("16s16s8x", name.encode(), sockaddr))
        except OSError:
            return False
        return answer[20:24] == address


def _read_addresses6() -> set[tuple[str, bytes]]:
    """(interface, address) of every IPv6 address (proc_pid_net(5))."""
    try:
        with open(_ADDRESSES6) as lines:
            return {(words[5], bytes.fromhex(words[0])) for words in map(str.split, lines)}
    except FileNotFoundError:  # this kernel has no IPv6
        return set()


def _interface(link: Any, addresses: dict[int, list[Address]]) -> Interface:
    return Interface(
        index=link["index"],
        name=link.get("ifname"),
        kind=link.get(("linkinfo", "kind")) or "",
        mac=link.get("address") or "",
        mtu=link.get("mtu") or 0,
        up=bool(link["flags"] & IFF_UP),
        running=bool(link["flags"] & IFF_RUNNING),
        peer=link.get("link") or 0,
        master=link.get("master") or 0,
        alias=link.get("ifalias") or "",
        addresses=tuple(addresses.get(link["index"], ())),
    )


def _address(message: Any) -> Address:
    return Address(ip_address(message.get("local") or message.get("address")), message["prefixlen"])


def _name(index: int) -> str:
    try:
        return socket.if_indextoname(index)
    except OSError:
        return f"interface {index}"
