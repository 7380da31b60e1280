"""Reading what the kernel has by netlink(7), without a library: a request, and the answers' attributes as bytes.

For what is read at a start, or in great number: pyroute2 takes 20 ms to import and 0.1 ms for each message.
"""

import os
import socket
import struct
from collections.abc import Iterator

NETLINK_NETFILTER = 12  # which Python has no name for
_REQUEST, _DUMP = 0x1, 0x300
_NLMSG_ERROR, _NLMSG_DONE, _INTERRUPTED = 2, 3, 0x10
_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_TYPE = 0x3FFF  # without the bits "nested" and "network byte order"
_TRIES = 5


def dump(protocol: int, kind: int, body: bytes) -> list[bytes]:
    """The bodies of all objects that a dump request yields, in the network namespace of the caller.

    Asked again when something changed meanwhile: such a dump may lack what was there all the time.
    """
    for _ in range(_TRIES):
        found, whole = _dump_once(protocol, kind, body)
        if whole:
            break
    return found


def attributes(data: bytes, offset: int = 0) -> dict[int, bytes]:
    """By type, the last of each; `offset` is the size of the fixed part before them."""
    return dict(attribute_list(data, offset))


def attribute_list(data: bytes, offset: int = 0) -> Iterator[tuple[int, bytes]]:
    while offset + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, offset)
        if length < _ATTRIBUTE.size:
            return
        yield kind & _TYPE, data[offset + _ATTRIBUTE.size : offset + length]
        offset += (length + 3) & ~3


def attribute(kind: int, value: bytes) -> bytes:
    padding = b"\0" * (-len(value) % 4)
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), kind) + value + padding


def _dump_once(protocol: int, kind: int, body: bytes) -> tuple[list[bytes], bool]:
    found: list[bytes] = []
    whole = True
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol) as channel:
        channel.send(_HEADER.pack(_HEADER.size + len(body), kind, _REQUEST | _DUMP, 1, 0) + body)
        while True:
            data = channel.recv(1 << 17)
            offset = 0
            while offset + _HEADER.size <= len(data):
                length, answer, flags, _, _ = _HEADER.unpack_from(data, offset)
                whole = whole and not flags & _INTERRUPTED
                if answer == _NLMSG_DONE:
                    return found, whole
                if answer == _NLMSG_ERROR:
                    number = -struct.unpack_from("=i", data, offset + _HEADER.size)[0]
                    raise OSError(number, os.strerror(number))
                found.append(data[offset + _HEADER.size : offset + length])
                offset += (length + 3) & ~3
