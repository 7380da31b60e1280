"""The messages of rtnetlink(7) by which links, addresses and routes are changed; links.py has what they are used for.

The numbers are those of linux/rtnetlink.h, linux/if_link.h and linux/if_addr.h.
"""

import socket
import struct
from collections.abc import Sequence

from minirun.kernel.netlink import (
    NETLINK_ROUTE,
    NLM_F_ACK,
    NLM_F_CREATE,
    NLM_F_EXCL,
    NLM_F_REPLACE,
    Attribute,
    Message,
    encoded,
    request,
)

AF_BRIDGE = 7
IFF_UP = 1
IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_LINK, IFLA_MASTER, IFLA_PROTINFO = 1, 3, 4, 5, 10, 12
IFLA_NET_NS_PID, IFLA_IFALIAS, IFLA_NET_NS_FD = 19, 20, 28
IFLA_BR_MULTI_BOOLOPT = 46
IFLA_BRPORT_MODE = 4
IFLA_MACVLAN_MODE = 1
_IFLA_LINKINFO, _IFLA_INFO_KIND, _IFLA_INFO_DATA, _VETH_INFO_PEER = 18, 1, 2, 1
_IFA_ADDRESS, _IFA_LOCAL, _IFA_BROADCAST, _IFA_FLAGS = 1, 2, 4, 8
_IFA_F_NODAD = 0x02
_RTA_DST, _RTA_OIF, _RTA_GATEWAY = 1, 4, 5
_RTM_NEWLINK, _RTM_DELLINK, RTM_GETLINK, _RTM_SETLINK, _RTM_NEWADDR, _RTM_NEWROUTE = 16, 17, 18, 19, 20, 24
_RT_TABLE_MAIN, _RTPROT_STATIC, _RTN_UNICAST = 254, 4, 1
_RT_SCOPE_UNIVERSE, _RT_SCOPE_LINK = 0, 253
_LINK = struct.Struct("=BxHiII")  # struct ifinfomsg: family, type, index, flags, which of them to change
_ADDRESS = struct.Struct("=BBBBI")  # struct ifaddrmsg: family, length of the prefix, flags, scope, index
_ROUTE = struct.Struct("=BBBBBBBBI")  # struct rtmsg: family, two lengths, tos, table, protocol, scope, type, flags
LINK_HEADER_SIZE = _LINK.size


def named(name: str, mac: str = "", mtu: int = 0) -> list[Attribute]:
    """The attributes of a link's name, hardware address and MTU; without those that are not given."""
    address: list[Attribute] = [(IFLA_ADDRESS, hardware_address(mac))] if mac else []
    return [(IFLA_IFNAME, name), *address, *([(IFLA_MTU, mtu)] if mtu else [])]


def hardware_address(text: str) -> bytes:
    """The bytes of a hardware address such as 02:42:ac:11:00:02."""
    return bytes.fromhex(text.replace(":", ""))


def link_header(family: int = socket.AF_UNSPEC, index: int = 0, flags: int = 0) -> bytes:
    """struct ifinfomsg. The `flags` (IFF_*) are set, others stay as they are."""
    return _LINK.pack(family, 0, index, flags, flags)


def link_flags(header: bytes) -> int:
    """The flags (IFF_*) in a struct ifinfomsg."""
    flags: int = _LINK.unpack_from(header)[3]
    return flags


def add_link(kind: str, data: Sequence[Attribute], attributes: Sequence[Attribute], flags: int = 0) -> None:
    """Add a link of a kind, with the attributes that only this kind has (`data`) and those that all have."""
    info: Attribute = (_IFLA_LINKINFO, [(_IFLA_INFO_KIND, kind), (_IFLA_INFO_DATA, data)])
    _change(_RTM_NEWLINK, link_header(flags=flags), [*attributes, info], NLM_F_CREATE | NLM_F_EXCL)


def add_veth(first: Sequence[Attribute], second: Sequence[Attribute], flags: int = 0) -> None:
    """Add a veth pair: its two ends, of which the first gets the flags."""
    add_link("veth", [(_VETH_INFO_PEER, link_header() + encoded(second))], first, flags)


def set_link(name: str, *attributes: Attribute, flags: int = 0) -> None:
    """Change attributes and flags of a link."""
    _change(_RTM_NEWLINK, link_header(flags=flags), [*named(name), *attributes])


def set_bridge_port(name: str, *attributes: Attribute) -> None:
    """Change attributes (IFLA_BRPORT_*) of a bridge's port."""
    header = link_header(AF_BRIDGE, socket.if_nametoindex(name))
    _change(_RTM_SETLINK, header, [(IFLA_PROTINFO, attributes)])


def delete_link(name: str) -> None:
    """Delete a link."""
    _change(_RTM_DELLINK, link_header(), named(name))


def add_address(name: str, address: bytes, prefix: int, broadcast: bytes | None) -> None:
    """Add an address, of IPv6 (16 bytes) without duplicate address detection. `broadcast` is of IPv4 alone."""
    family = socket.AF_INET6 if broadcast is None else socket.AF_INET
    extra: Attribute = (_IFA_FLAGS, _IFA_F_NODAD) if broadcast is None else (_IFA_BROADCAST, broadcast)
    header = _ADDRESS.pack(family, prefix, 0, _RT_SCOPE_UNIVERSE, socket.if_nametoindex(name))
    attributes = [(_IFA_LOCAL, address), (_IFA_ADDRESS, address), extra]
    _change(_RTM_NEWADDR, header, attributes, NLM_F_CREATE | NLM_F_EXCL)


def add_default_route(name: str, family: int, gateway: bytes, replaces: bool) -> None:
    """Add the default route of an address family; one that exists is replaced, or is an error."""
    mode = NLM_F_REPLACE if replaces else NLM_F_EXCL
    _change(
        _RTM_NEWROUTE, _route(family, 0, _RT_SCOPE_UNIVERSE), [(_RTA_GATEWAY, gateway), _by(name)], NLM_F_CREATE | mode
    )


def add_link_route(name: str, network: bytes, prefix: int) -> None:
    """Add a route without a gateway, of IPv4."""
    header = _route(socket.AF_INET, prefix, _RT_SCOPE_LINK)
    _change(_RTM_NEWROUTE, header, [(_RTA_DST, network), _by(name)], NLM_F_CREATE | NLM_F_EXCL)


def _route(family: int, prefix: int, scope: int) -> bytes:
    return _ROUTE.pack(family, prefix, 0, 0, _RT_TABLE_MAIN, _RTPROT_STATIC, scope, _RTN_UNICAST, 0)


def _by(name: str) -> Attribute:
    return _RTA_OIF, socket.if_nametoindex(name)


def _change(kind: int, header: bytes, attributes: Sequence[Attribute], flags: int = 0) -> None:
    request(NETLINK_ROUTE, Message(kind, NLM_F_ACK | flags, header, attributes))
