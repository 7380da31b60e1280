"""Netlink in plain bytes (netlink(7)): for the families that are small enough to need no message library."""

import os
import socket
import struct
from collections.abc import Iterator

HEADER = struct.Struct("=IHHII")
NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP = 0x1, 0x4, 0x300
NLMSG_ERROR, NLMSG_DONE = 2, 3
NLA_F_NESTED = 0x8000
_KIND = 0x3FFF  # of an attribute's type, the rest is flags
_NUMBER = struct.Struct("=i")


class NetlinkSocket:
    """One socket in the network namespace that the caller is in when it is made."""

    def __init__(self, family: int) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC, family)
        self._sequence = 0

    def close(self) -> None:
        self._socket.close()

    def request(self, kind: int, body: bytes, flags: int = 0) -> None:
        """Send one change and wait for the kernel's answer."""
        for _ in self._answers(kind, body, NLM_F_ACK | flags):
            pass

    def query(self, kind: int, body: bytes) -> bytes:
        """The one object that is asked for."""
        self._send(kind, body, 0)
        return next(self._read_all())

    def dump(self, kind: int, body: bytes) -> Iterator[bytes]:
        """All objects of a kind, each without its netlink header."""
        return self._answers(kind, body, NLM_F_DUMP)

    def _answers(self, kind: int, body: bytes, flags: int) -> Iterator[bytes]:
        self._send(kind, body, flags)
        yield from self._read_all()

    def _send(self, kind: int, body: bytes, flags: int) -> None:
        self._sequence += 1
        header = HEADER.pack(HEADER.size + len(body), kind, NLM_F_REQUEST | flags, self._sequence, 0)
        self._socket.send(header + body)

    def _read_all(self) -> Iterator[bytes]:
        """Up to the acknowledgement, or the end of a dump; both carry an error number, 0 when all is well."""
        while True:
            data = self._socket.recv(1 << 17)
            offset = 0
            while offset + HEADER.size <= len(data):
                length, kind, _, sequence, _ = HEADER.unpack_from(data, offset)
                body = data[offset + HEADER.size : offset + length]
                offset += (length + 3) & ~3
                if sequence != self._sequence:
                    continue
                if kind in (NLMSG_ERROR, NLMSG_DONE):
                    number = -_NUMBER.unpack_from(body)[0] if len(body) >= _NUMBER.size else 0
                    if number > 0:
                        raise OSError(number, os.strerror(number))
                    return
                yield body


def attribute(kind: int, data: bytes) -> bytes:
    return struct.pack("=HH", len(data) + 4, kind) + data + b"\0" * (-len(data) % 4)


def attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(kind, content) of each in a row of them."""
    offset = 0
    while offset + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, offset)
        if length < 4:
            return
        yield kind & _KIND, data[offset + 4 : offset + length]
        offset += (length + 3) & ~3
