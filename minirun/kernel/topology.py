"""What is wired to what, read from the kernel: links, their addresses and default routes, in the network namespace of
the caller (rtnetlink(7); linux/if_link.h)."""

import socket
import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

from minirun.kernel.netlink import attributes, dump

_GETLINK, _GETADDR, _GETROUTE = 18, 22, 26
_LINK = struct.Struct("=BxHiII")  # struct ifinfomsg: family, type, index, flags, change
_ADDRESS = struct.Struct("=BBBBi")  # struct ifaddrmsg: family, prefix length, flags, scope, index
_ROUTE = struct.Struct("=BBBBBBBBI")  # struct rtmsg: family, lengths of destination and source, ..., table, ...
_IFLA_ADDRESS, _IFLA_NAME, _IFLA_MTU, _IFLA_LINK, _IFLA_MASTER = 1, 3, 4, 5, 10
_IFLA_LINKINFO, _IFLA_ALIAS, _INFO_KIND = 18, 20, 1
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_RTA_OIF, _RTA_GATEWAY = 4, 5
_UP, _RUNNING = 0x1, 0x40
_LINK_SCOPE = 253


@dataclass(frozen=True)
class Address:
    address: IPv4Address | IPv6Address
    prefix: int  # bits

    def __str__(self) -> str:
        return f"{self.address}/{self.prefix}"


@dataclass(frozen=True)
class Interface:
    """One link. `peer` is the index of a veth's other end, in whichever namespace that is; of others what they are
    made on."""

    index: int
    name: str
    kind: str  # bridge, veth, vxlan ...; "" for hardware and loopback
    mac: str
    mtu: int
    up: bool
    running: bool  # a cable is in, and the kernel has noticed: before that it drops what is to be sent
    peer: int = 0
    master: int = 0
    alias: str = ""
    addresses: tuple[Address, ...] = ()  # without those of the link alone


def interfaces() -> list[Interface]:
    """In the order of their indexes."""
    addresses = _addresses()
    found = [_interface(data, addresses) for data in dump(socket.NETLINK_ROUTE, _GETLINK, _LINK.pack(0, 0, 0, 0, 0))]
    return sorted(found, key=lambda one: one.index)


def gateways() -> list[tuple[str, int]]:
    """(address, index of the interface) of each default route."""
    found = []
    for family in (socket.AF_INET, socket.AF_INET6):
        for data in dump(socket.NETLINK_ROUTE, _GETROUTE, _ROUTE.pack(family, 0, 0, 0, 0, 0, 0, 0, 0)):
            values = attributes(data, _ROUTE.size)
            if data[0] == family and data[1] == 0 and _RTA_GATEWAY in values and _RTA_OIF in values:
                found.append((str(ip_address(values[_RTA_GATEWAY])), _number(values[_RTA_OIF])))
    return found


def _interface(data: bytes, addresses: dict[int, list[Address]]) -> Interface:
    _, _, index, flags, _ = _LINK.unpack_from(data)
    values = attributes(data, _LINK.size)
    info = attributes(values.get(_IFLA_LINKINFO, b""))
    return Interface(
        index=index,
        name=_text(values[_IFLA_NAME]),
        kind=_text(info.get(_INFO_KIND, b"")),
        mac=":".join(f"{byte:02x}" for byte in values.get(_IFLA_ADDRESS, b"")),
        mtu=_number(values.get(_IFLA_MTU, bytes(4))),
        up=bool(flags & _UP),
        running=bool(flags & _RUNNING),
        peer=_number(values.get(_IFLA_LINK, bytes(4))),
        master=_number(values.get(_IFLA_MASTER, bytes(4))),
        alias=_text(values.get(_IFLA_ALIAS, b"")),
        addresses=tuple(addresses.get(index, ())),
    )


def _addresses() -> dict[int, list[Address]]:
    found: dict[int, list[Address]] = {}
    for data in dump(socket.NETLINK_ROUTE, _GETADDR, _ADDRESS.pack(0, 0, 0, 0, 0)):
        _, prefix, _, scope, index = _ADDRESS.unpack_from(data)
        values = attributes(data, _ADDRESS.size)
        raw = values.get(_IFA_LOCAL) or values.get(_IFA_ADDRESS, b"")
        if raw and scope < _LINK_SCOPE:
            found.setdefault(index, []).append(Address(ip_address(raw), prefix))
    return found


def _number(data: bytes) -> int:
    return int(struct.unpack_from("=I", data)[0])


def _text(data: bytes) -> str:
    return data.rstrip(b"\0").decode("utf-8", "backslashreplace")
