"""Sockets in any network namespace of a throwaway host, opened by the test itself: no client or server process."""

import itertools
import socket
import struct
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from minirun.kernel.netns import entered

if TYPE_CHECKING:
    from tests.harness.host import Host, Neighbour

PATIENCE = 5.0  # seconds for what must come
SHORT = 0.25  # and for what must not
_KINDS = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}
_tokens = itertools.count(1)


@dataclass(frozen=True)
class Netns:
    """The network namespace of the host, of a container on it, or of an outside host."""

    path: str

    @classmethod
    def of(cls, host: "Host", container: str = "") -> "Netns":
        return cls(f"/proc/{host.pid}/root/run/netns/{container}" if container else f"/proc/{host.pid}/ns/net")

    @classmethod
    def beside(cls, lan: "Neighbour") -> "Netns":
        return cls(f"/proc/{lan.host.pid}/root/proc/{lan.pid}/ns/net")

    def socket(self, family: int, kind: int, protocol: int = 0) -> socket.socket:
        with entered(self.path):
            return socket.socket(family, kind, protocol)

    def packet_socket(self, link: str) -> "PacketSocket":
        with entered(self.path):
            return PacketSocket(link)

    def serve(self, port: int, address: str = "", protocols: tuple[str, ...] = ("tcp", "udp")) -> "Server":
        """On all addresses of both families, or on one."""
        sockets = {}
        for protocol in protocols:
            for at in [address] if address else ["0.0.0.0", "::"]:
                family = _family(at)
                one = self.socket(family, _KINDS[protocol])
                if family == socket.AF_INET6:
                    one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                one.bind((at, port))
                if protocol == "tcp":
                    one.listen(16)
                sockets[protocol, family] = one
        return Server(sockets)


@dataclass(frozen=True)
class Server:
    sockets: dict[tuple[str, int], socket.socket]

    def asked(self, client: Netns, protocol: str, address: str, port: int, patience: float = PATIENCE) -> str:
        """As whom the server sees a client that speaks to it by this address and port, and has its answer; "" when they
        do not come together."""
        family = _family(address)
        with client.socket(family, _KINDS[protocol]) as asking:
            asking.settimeout(patience)
            server, token = self.sockets[protocol, family], str(next(_tokens)).encode()
            try:
                asking.connect((address, port))
                asking.send(token)
                return _answer(server, asking, token, patience)
            except OSError:
                return ""

    def heard(self) -> int:
        """How many have come through since the last time: connections and datagrams."""
        found = 0
        for one in self.sockets.values():
            one.setblocking(False)
            with suppress(BlockingIOError):
                while True:
                    if one.type == socket.SOCK_STREAM:
                        one.accept()[0].close()
                    else:
                        one.recv(99)
                    found += 1
        return found

    def close(self) -> None:
        for one in self.sockets.values():
            one.close()


class Probe:
    """One connection attempt or datagram to an address and port, whose answer nobody waits for."""

    def __init__(self, client: Netns, protocol: str, address: str, port: int) -> None:
        self._socket = client.socket(_family(address), _KINDS[protocol])
        self._socket.setblocking(False)
        with suppress(OSError):  # EINPROGRESS, or that there is no way
            self._socket.connect((address, port))
            self._socket.send(b"probe")

    def close(self) -> None:
        self._socket.close()


def _answer(server: socket.socket, asking: socket.socket, token: bytes, patience: float) -> str:
    server.settimeout(patience)
    while True:  # what an earlier question left, that nobody waited for, is passed over
        if server.type == socket.SOCK_STREAM:
            connection, peer = server.accept()
            with connection:
                connection.settimeout(patience)
                if connection.recv(99) != token:
                    continue
                connection.sendall(token)
                assert asking.recv(99) == token
                return str(peer[0])
        data, peer = server.recvfrom(99)
        if data == token:
            server.sendto(token, peer)
            assert asking.recv(99) == token
            return str(peer[0])


class PacketSocket:
    """Whole frames, sent and received on one link. Create it inside the link's network namespace."""

    def __init__(self, link: str) -> None:
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self._socket.bind((link, 3))

    @property
    def address(self) -> str:
        return str(self._socket.getsockname()[4].hex(":"))

    def send(self, frame: bytes) -> None:
        self._socket.send(frame)

    def frames(self, seconds: float = 0.0) -> list[bytes]:
        """Those that have come in since the last time, and within so many seconds."""
        found, deadline = [], time.monotonic() + seconds
        while True:
            self._socket.settimeout(max(0.001, deadline - time.monotonic()))
            try:
                frame, (_, _, kind, _, _) = self._socket.recvfrom(65536)
            except TimeoutError:
                return found
            if kind != socket.PACKET_OUTGOING:
                found.append(frame)

    def close(self) -> None:
        self._socket.close()


def _family(address: str) -> int:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def checksum(data: bytes) -> int:
    """RFC 1071."""
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
