"""Which part of the address space this host uses: its addresses and routes (rtnetlink(7))."""

import socket
import struct
from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network

from minirun.kernel.netlink import attributes, dump

_RTM_GETADDR, _RTM_GETROUTE = 22, 26
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_RTA_DST, _RTA_OIF = 1, 4
_ADDRESS_HEADER, _ROUTE_HEADER = 8, 12
_KINDS: dict[int, type[IPv4Network] | type[IPv6Network]] = {
    socket.AF_INET: IPv4Network,
    socket.AF_INET6: IPv6Network,
}
# Nothing wider is anybody's network: it is the default route in pieces, as VPNs make it (0.0.0.0/1 and 128.0.0.0/1).
_WIDEST = 8


def networks_in_use(family: int) -> Iterator[tuple[IPv4Network | IPv6Network, str]]:
    """Every network of a family that this host has an address in or, in any table, a route to; and the link's name."""
    kind = _KINDS[family]
    for data in dump(socket.NETLINK_ROUTE, _RTM_GETADDR, struct.pack("=B7x", family)):
        found = attributes(data, _ADDRESS_HEADER)
        address = found.get(_IFA_LOCAL) or found.get(_IFA_ADDRESS)
        if data[0] == family and address:
            index: int = struct.unpack_from("=I", data, 4)[0]
            yield kind((address, data[1]), strict=False), _name(index)
    for data in dump(socket.NETLINK_ROUTE, _RTM_GETROUTE, struct.pack("=B11x", family)):
        found = attributes(data, _ROUTE_HEADER)
        target = found.get(_RTA_DST)
        if data[0] == family and target and data[1] >= _WIDEST:
            link = found.get(_RTA_OIF)
            yield kind((target, data[1]), strict=False), _name(struct.unpack("=I", link)[0]) if link else "a route"


def _name(index: int) -> str:
    try:
        return socket.if_indextoname(index)
    except OSError:
        return f"interface {index}"
