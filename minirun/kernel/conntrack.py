"""Entries of the connection tracker: found by where they go, deleted by their exact key (conntrack(8), ctnetlink)."""

import socket
import struct
from dataclasses import dataclass
from functools import cache
from ipaddress import IPv4Address, IPv6Address, ip_address

from minirun.kernel.netlink import PROTOCOLS, Netlink, attribute, attributes, nested
from minirun.kernel.seam import shell

_NETFILTER, _CT_GET, _CT_DELETE = 12, (1 << 8) | 1, (1 << 8) | 2
_ORIGINAL, _REPLY, _ID, _ZONE, _FILTER = 1, 2, 12, 18, 25  # CTA_TUPLE_ORIG and so on
_IP, _PROTO = 1, 2  # CTA_TUPLE_IP, CTA_TUPLE_PROTO
_ADDRESSES: dict[int, tuple[int, int]] = {socket.AF_INET: (1, 2), socket.AF_INET6: (3, 4)}  # source, destination
_NUMBER, _SOURCE_PORT, _PORT = 1, 2, 3
_BY_NUMBER, _BY_PORT = 1 << 3, 1 << 5  # flags of CTA_FILTER_ORIG_FLAGS
_GETROUTE, _DESTINATION, _LOCAL = 26, 1, 2
AnyAddress = IPv4Address | IPv6Address


@dataclass(frozen=True)
class Flow:
    """An entry: the first packet's addresses, and who answers."""

    source: AnyAddress
    source_port: int
    destination: AnyAddress
    port: int
    answerer: AnyAddress
    answerer_port: int
    key: bytes  # as the kernel calls it: the original tuple, the zone if it has one, and the entry's id


class FlowTable:
    """The entries of the network namespace that the caller is in when this is made."""

    def __init__(self) -> None:
        self._netlink = Netlink(_NETFILTER)

    def close(self) -> None:
        self._netlink.close()

    def flows(self, protocol: str, family: int, port: int = 0) -> list[Flow]:
        """All, or those whose first packet went to `port`: the kernel picks them out (CTA_FILTER, Linux 5.8)."""
        wanted = attribute(_NUMBER, bytes([PROTOCOLS[protocol]]))
        flags = _BY_NUMBER
        if port:
            wanted += attribute(_PORT, port.to_bytes(2, "big"))
            flags |= _BY_PORT
        body = _header(family) + nested(_ORIGINAL, nested(_PROTO, wanted))
        body += nested(_FILTER, attribute(1, struct.pack("=I", flags)))
        return [_flow(family, attributes(entry, 4)) for entry in self._netlink.dump(_CT_GET, body)]

    def delete(self, flow: Flow) -> None:
        words = (str(flow.source), str(flow.destination), flow.source_port, flow.port)
        flow_del(self._netlink, *words, flow.key)


@shell("conntrack -D -s {source} -d {destination} --sport {source_port} --dport {port}")
def flow_del(netlink: Netlink, source: str, destination: str, source_port: int, port: int, key: bytes) -> None:
    """Exactly this entry; gone already is fine."""
    try:
        netlink.request(_CT_DELETE, _header(socket.AF_INET6 if ":" in source else socket.AF_INET) + key)
    except FileNotFoundError:
        pass


@cache
def is_local(address: AnyAddress) -> bool:
    """Whether this host has it, as `fib daddr type local` of nft sees it: `ip route get`, type local."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    route = struct.pack("=BBBBBBBBI", family, address.max_prefixlen, 0, 0, 0, 0, 0, 0, 0)
    netlink = Netlink(socket.NETLINK_ROUTE)
    try:
        return netlink.query(_GETROUTE, route + attribute(_DESTINATION, address.packed))[7] == _LOCAL
    except OSError:  # no way there at all
        return False
    finally:
        netlink.close()


def _header(family: int) -> bytes:
    return struct.pack("=BBH", family, 0, 0)


def _flow(family: int, entry: dict[int, bytes]) -> Flow:
    source, source_port, destination, port = _tuple(family, entry[_ORIGINAL])
    answerer, answerer_port, _, _ = _tuple(family, entry[_REPLY])
    key = nested(_ORIGINAL, entry[_ORIGINAL]) + b"".join(
        attribute(kind, entry[kind]) for kind in (_ZONE, _ID) if kind in entry
    )
    return Flow(source, source_port, destination, port, answerer, answerer_port, key)


def _tuple(family: int, data: bytes) -> tuple[AnyAddress, int, AnyAddress, int]:
    parts = attributes(data)
    addresses, ports = attributes(parts[_IP]), attributes(parts[_PROTO])
    source, destination = (ip_address(addresses[kind]) for kind in _ADDRESSES[family])
    return source, _number(ports[_SOURCE_PORT]), destination, _number(ports[_PORT])


def _number(data: bytes) -> int:
    return int.from_bytes(data, "big")
