"""Who listens in a network namespace, as `ss -ltun` shows it (sock_diag(7)): asked of the kernel, so that neither a
connection nor a program in the container is needed."""

import socket
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from minirun.kernel.netlink import PROTOCOLS, Netlink, attribute_list

_SOCK_DIAG, _BY_FAMILY = 4, 20
_FAMILIES = (socket.AF_INET, socket.AF_INET6)
_LISTEN, _CLOSE = 10, 7  # tcp_states.h; a UDP socket that is bound and not connected is in the state "close"
_STATES = {"tcp": 1 << _LISTEN, "udp": 1 << _CLOSE}
_REQUEST = struct.Struct("=BBBxI48x")  # inet_diag_req_v2: family, protocol, extensions, states
_MESSAGE = struct.Struct("=BBBB2s2s16s16s4x8x16xI")  # inet_diag_msg: family, state, .., ports, addresses, .., inode
_SKV6ONLY = 11


@dataclass(frozen=True)
class Listener:
    protocol: str
    address: IPv4Address | IPv6Address
    port: int
    inode: int = 0
    only_ipv6: bool = False

    def __str__(self) -> str:
        host = f"[{self.address}]" if self.address.version == 6 else self.address
        return f"{host}:{self.port}/{self.protocol}"

    def stands_in_the_way(self, address: IPv4Address | IPv6Address) -> bool:
        """Of a socket that would be bound to `address` and the same port."""
        if self.address.version != address.version:
            return self.address == IPv6Address(0) and not self.only_ipv6
        return self.address == address or self.address.is_unspecified or address.is_unspecified


class SocketTable:
    """The sockets of the network namespace that the caller is in when this is made, whatever namespace it asks from."""

    def __init__(self) -> None:
        self._netlink = Netlink(_SOCK_DIAG)

    def close(self) -> None:
        self._netlink.close()

    def listeners(self, protocols: Iterable[str] = ("tcp", "udp")) -> list[Listener]:
        return [one for protocol in protocols for family in _FAMILIES for one in self._dump(protocol, family)]

    def _dump(self, protocol: str, family: int) -> list[Listener]:
        asked = _REQUEST.pack(family, PROTOCOLS[protocol], 0, _STATES[protocol])
        found = [_listener(protocol, body) for body in self._netlink.dump(_BY_FAMILY, asked)]
        return [one for one in found if one.port]  # a UDP socket that was never bound has none


def _listener(protocol: str, body: bytes) -> Listener:
    family, _, _, _, port, _, source, _, inode = _MESSAGE.unpack_from(body)
    only_ipv6 = any(kind == _SKV6ONLY and data[:1] == b"\1" for kind, data in attribute_list(body, _MESSAGE.size))
    address = IPv4Address(source[:4]) if family == socket.AF_INET else IPv6Address(source)
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return Listener(protocol, mapped or address, int.from_bytes(port, "big"), inode, only_ipv6)
