"""TCP connections of a network namespace, and ending them as `ss --kill` does (sock_diag(7), SOCK_DESTROY).

The kernel sends a reset to the other end, and the program that has the socket gets ECONNABORTED. It needs
CONFIG_INET_DIAG_DESTROY.
"""

import errno
import os
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address

from minirun.kernel.seam import shell

_NETLINK_SOCK_DIAG, _SOCK_DIAG_BY_FAMILY, _SOCK_DESTROY = 4, 20, 21  # linux/netlink.h, linux/sock_diag.h
_NLM_F_REQUEST, _NLM_F_ACK, _NLM_F_DUMP = 0x1, 0x4, 0x300
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, pid
_REQUEST = struct.Struct("=BBBBI")  # struct inet_diag_req_v2: family, protocol, extensions, padding, states; then
_ID = struct.Struct("!HH16s16s")  # struct inet_diag_sockid: ports, addresses; then interface and cookie
_ID_REST = struct.Struct("=III")
_MESSAGE = struct.Struct("=BBBB")  # struct inet_diag_msg: family, state, timer, retransmissions; then the sockid
_ERROR = struct.Struct("=i")
# Connections: established, SYN received, the two FIN-WAITs, CLOSE-WAIT (linux/tcp_states.h).
_STATES = 1 << 1 | 1 << 3 | 1 << 4 | 1 << 5 | 1 << 8
_SIZE = 1 << 16


@dataclass(frozen=True)
class Connection:
    """A TCP connection, as its end in this namespace sees it."""

    address: IPv4Address | IPv6Address
    port: int
    peer: IPv4Address | IPv6Address
    peer_port: int
    family: int = field(repr=False, default=socket.AF_INET)
    identity: bytes = field(repr=False, default=b"")  # the kernel's struct inet_diag_sockid

    def __str__(self) -> str:
        return f"{_endpoint(self.peer, self.peer_port)} to {_endpoint(self.address, self.port)}"


def connections() -> list[Connection]:
    """Return the connections of the network namespace that the caller is in."""
    with _open() as channel:
        return [each for family in (socket.AF_INET, socket.AF_INET6) for each in _dump(channel, family)]


@shell(
    "ss --kill state connected dst {peer} dport = :{peer_port} sport = :{port}",
    peer=lambda given: given["connection"].peer,
    peer_port=lambda given: given["connection"].peer_port,
    port=lambda given: given["connection"].port,
)
def connection_kill(connection: Connection) -> bool:
    """End a connection. Return False when it has ended by itself. OSError (EOPNOTSUPP) where the kernel cannot."""
    body = _REQUEST.pack(connection.family, socket.IPPROTO_TCP, 0, 0, _STATES) + connection.identity
    with _open() as channel:
        _send(channel, _SOCK_DESTROY, _NLM_F_REQUEST | _NLM_F_ACK, body)
        for kind, payload in _messages(channel.recv(_SIZE)):
            code = -_ERROR.unpack_from(payload)[0] if kind == _NLMSG_ERROR else 0
            if code == errno.ENOENT:
                return False
            if code:
                raise OSError(code, os.strerror(code))
    return True


def _open() -> socket.socket:
    return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_SOCK_DIAG)


def _send(channel: socket.socket, kind: int, flags: int, body: bytes) -> None:
    channel.send(_HEADER.pack(_HEADER.size + len(body), kind, flags, 1, 0) + body)


def _dump(channel: socket.socket, family: int) -> Iterator[Connection]:
    body = _REQUEST.pack(family, socket.IPPROTO_TCP, 0, 0, _STATES) + bytes(_ID.size + _ID_REST.size)
    _send(channel, _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST | _NLM_F_DUMP, body)
    while True:
        for kind, payload in _messages(channel.recv(_SIZE)):
            if kind == _NLMSG_DONE:
                return
            if kind == _NLMSG_ERROR:
                code = -_ERROR.unpack_from(payload)[0]
                raise OSError(code, os.strerror(code))
            yield _connection(payload)


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Split what was received into (type, payload)."""
    while len(data) >= _HEADER.size:
        length, kind, *_ = _HEADER.unpack_from(data)
        yield kind, data[_HEADER.size : length]
        data = data[(length + 3) & ~3 :]


def _connection(payload: bytes) -> Connection:
    family = payload[0]
    start, size = _MESSAGE.size, 4 if family == socket.AF_INET else 16
    port, peer_port, own, peer = _ID.unpack_from(payload, start)
    identity = payload[start : start + _ID.size + _ID_REST.size]
    return Connection(_address(own[:size]), port, _address(peer[:size]), peer_port, family, identity)


def _address(packed: bytes) -> IPv4Address | IPv6Address:
    address = ip_address(packed)
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


def _endpoint(address: IPv4Address | IPv6Address, port: int) -> str:
    return f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"
