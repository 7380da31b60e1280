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

from pyroute2 import IPRSocket
from pyroute2.netlink import NLM_F_DUMP, NLM_F_REQUEST, NLMSG_DONE
from pyroute2.netlink.rtnl import RTM_GETLINK, RTM_NEWLINK, rt_scope, rt_type
from pyroute2.netlink.rtnl.ifinfmsg import IFF_RUNNING, IFF_UP, ifinfmsg

from minirun.kernel.netlink_sockets import complete, rtnetlink

Port = tuple[int, bool]  # the index of its bridge, whether it is up

_AF_BRIDGE = 7
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


class _PortMessage(dict[str, Any]):
    """RTM_NEWLINK of a bridge port, of which only two attributes are decoded.

    All of them would take pyroute2 0.1 ms a port, at each command: 100 ms with a thousand containers.
    """

    _HEADER = struct.Struct("=IHHII")  # struct nlmsghdr: length, type, flags, sequence number, port id
    _LINK = struct.Struct("=BxHiII")  # struct ifinfomsg: family, type, index, flags, change
    _ATTRIBUTE = struct.Struct("=HH")
    _IFLA_IFNAME, _IFLA_MASTER = 3, 10

    def __init__(self, data: bytes, offset: int) -> None:
        self._data, self._offset = data, offset

    def decode(self) -> None:
        """Set header, flags, ifname and master."""
        length, kind, flags, _, _ = self._HEADER.unpack_from(self._data, self._offset)
        at, end = self._offset + self._HEADER.size, self._offset + length
        self |= {"header": {"type": kind, "flags": flags}, "ifname": "", "master": 0}
        self["flags"] = self._LINK.unpack_from(self._data, at)[3]
        at += self._LINK.size
        while at < end and not (self["ifname"] and self["master"]):
            length, kind = self._ATTRIBUTE.unpack_from(self._data, at)
            value = self._data[at + self._ATTRIBUTE.size : at + length]
            if kind == self._IFLA_IFNAME:
                self["ifname"] = value[:-1].decode()
            elif kind == self._IFLA_MASTER:
                self["master"] = int.from_bytes(value, sys.byteorder)
            at += (length + 3) & ~3


def bridge_ports() -> dict[str, Port]:
    """Every link of this host that is a port of a bridge, by name; one request for all."""

    def dump() -> Iterator[Any]:
        ipr.put(request, RTM_GETLINK, NLM_F_REQUEST | NLM_F_DUMP)
        while True:
            for message in ipr.get():
                if message["header"]["type"] == NLMSG_DONE:
                    return
                yield message

    request = ifinfmsg()
    request["family"] = _AF_BRIDGE
    with IPRSocket() as ipr:
        ipr.register_policy(RTM_NEWLINK, _PortMessage)
        return {port["ifname"]: (port["master"], bool(port["flags"] & IFF_UP)) for port in complete(dump)}


def bridge_port(name: str) -> Port:
    """The same of one link; (0, False) when it does not exist or is no port."""
    try:
        with rtnetlink() as ipr:
            (link,) = ipr.link("get", ifname=name)
    except OSError:
        return 0, False
    return link.get("master") or 0, bool(link["flags"] & IFF_UP)


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
