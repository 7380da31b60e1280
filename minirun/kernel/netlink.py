"""Netlink in plain bytes (netlink(7), rtnetlink(7)): requests, answers, and the attributes that both are made of.

Without a library: the message classes of pyroute2 alone, past its eager __init__, bring 70 modules and cost every start
on a bridge 12 ms, for the dozen messages that minirun sends.
"""

import os
import socket
import struct
from collections.abc import Iterator, Sequence
from typing import NamedTuple

NETLINK_NETFILTER = 12  # which Python has no name for
PROTOCOLS = {"tcp": socket.IPPROTO_TCP, "udp": socket.IPPROTO_UDP}
HEADER = struct.Struct("=IHHII")
NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP = 0x1, 0x4, 0x300
NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE = 0x400, 0x200, 0x100
NLM_F_DUMP_INTR = 0x10
NLMSG_ERROR, NLMSG_DONE = 2, 3
NLA_F_NESTED = 0x8000
_KIND = 0x3FFF  # of an attribute's type, the rest is flags
_ATTRIBUTE = struct.Struct("=HH")
_NUMBER = struct.Struct("=i")
_ALL = 1 << 17  # bytes: the kernel fills no larger buffer at once
_TRIES = 5
_SNDBUF, _SO_SNDBUFFORCE = 1 << 16, 32
_SOL_NETLINK, _NETLINK_CAP_ACK, _NETLINK_EXT_ACK = 270, 10, 11
_NLMSGERR_ATTR_MSG = 1


class Message(NamedTuple):
    """One of a transaction."""

    kind: int
    body: bytes
    flags: int = 0


def attribute(kind: int, value: bytes) -> bytes:
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), kind) + value + b"\0" * (-len(value) % 4)


def nested(kind: int, *inside: bytes) -> bytes:
    """An attribute that is made of others."""
    return attribute(kind | NLA_F_NESTED, b"".join(inside))


def attribute_list(data: bytes, offset: int = 0) -> Iterator[tuple[int, bytes]]:
    """(type, value) of each in a row of them; `offset` is the size of the fixed part before."""
    while offset + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, offset)
        if length < _ATTRIBUTE.size:
            return
        yield kind & _KIND, data[offset + _ATTRIBUTE.size : offset + length]
        offset += (length + 3) & ~3


def attributes(data: bytes, offset: int = 0) -> dict[int, bytes]:
    """By type, the last of each."""
    return dict(attribute_list(data, offset))


class Netlink:
    """One socket in the network namespace that the caller is in when it is made.

    Errors of the kernel are OSError with its number and, where it gives any, its own words.
    """

    def __init__(self, protocol: int = socket.NETLINK_ROUTE) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
        self._socket.setsockopt(_SOL_NETLINK, _NETLINK_EXT_ACK, 1)
        self._socket.setsockopt(_SOL_NETLINK, _NETLINK_CAP_ACK, 1)
        self._sequence = 0
        self._whole = True

    def close(self) -> None:
        self._socket.close()

    def request(self, kind: int, body: bytes, flags: int = 0) -> None:
        """Send one change and wait for the kernel's answer."""
        self._send(kind, body, NLM_F_ACK | flags)
        for _ in self._answers():
            pass

    def query(self, kind: int, body: bytes) -> bytes:
        """The one object that is asked for."""
        self._send(kind, body, 0)
        return next(self._answers())

    def dump(self, kind: int, body: bytes) -> list[bytes]:
        """All objects of a kind, each without its header.

        Asked again when something changed meanwhile: such a dump may lack what was there all the time.
        """
        for _ in range(_TRIES):
            self._send(kind, body, NLM_F_DUMP)
            found = list(self._answers())
            if self._whole:
                break
        return found

    def transaction(self, messages: Sequence[Message]) -> None:
        """Send all at once, of which the last but one is acknowledged: an error, of whichever, comes without asking."""
        first = self._sequence + 1
        data = b""
        for message in messages:
            self._sequence += 1
            flags = NLM_F_REQUEST | message.flags | (NLM_F_ACK if self._sequence == first + len(messages) - 2 else 0)
            data += HEADER.pack(HEADER.size + len(message.body), message.kind, flags, self._sequence, 0) + message.body
        if len(data) > _SNDBUF:
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, 2 * len(data))
        self._socket.send(data)
        for answer in self._pending():
            raise_for(answer)

    def _pending(self) -> Iterator[bytes]:
        """What has been answered: the kernel does so before it returns from the sending."""
        while True:
            try:
                data = self._socket.recv(_ALL, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            offset = 0
            while offset + HEADER.size <= len(data):
                length, _, _, _, _ = HEADER.unpack_from(data, offset)
                yield data[offset + HEADER.size : offset + length]
                offset += (length + 3) & ~3

    def _send(self, kind: int, body: bytes, flags: int) -> None:
        self._sequence += 1
        self._whole = True
        header = HEADER.pack(HEADER.size + len(body), kind, NLM_F_REQUEST | flags, self._sequence, 0)
        self._socket.send(header + body)

    def _answers(self) -> Iterator[bytes]:
        """Up to the acknowledgement, or the end of a dump."""
        while True:
            data = self._socket.recv(_ALL)
            offset = 0
            while offset + HEADER.size <= len(data):
                length, kind, flags, sequence, _ = HEADER.unpack_from(data, offset)
                body = data[offset + HEADER.size : offset + length]
                offset += (length + 3) & ~3
                if sequence != self._sequence:
                    continue
                self._whole = self._whole and not flags & NLM_F_DUMP_INTR
                if kind in (NLMSG_ERROR, NLMSG_DONE):
                    raise_for(body)
                    return
                yield body


def dump(protocol: int, kind: int, body: bytes) -> list[bytes]:
    """The bodies of all objects that a dump request yields, in the network namespace of the caller."""
    netlink = Netlink(protocol)
    try:
        return netlink.dump(kind, body)
    finally:
        netlink.close()


def raise_for(body: bytes) -> None:
    """What ends an exchange carries an error number, 0 when all is well, and maybe the kernel's text after it."""
    number = -_NUMBER.unpack_from(body)[0] if len(body) >= _NUMBER.size else 0
    if number <= 0:
        return
    # NETLINK_CAP_ACK: of the failed request only its header is echoed.
    text = (
        attributes(body, _NUMBER.size + HEADER.size).get(_NLMSGERR_ATTR_MSG, b"").rstrip(b"\0").decode(errors="replace")
    )
    raise OSError(number, f"{os.strerror(number)} ({text})" if text else os.strerror(number))
