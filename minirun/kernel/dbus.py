"""A minimal D-Bus client: it calls a method and reports whether that worked.

https://dbus.freedesktop.org/doc/dbus-specification.html: all numbers little-endian, each value on its own boundary.
"""

import os
import socket
import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

from minirun.kernel.cgroups import SYSTEM_BUS

_SECONDS = 5.0
_CALL, _RETURN, _ERROR = 1, 2, 3
_NO_AUTO_START = 2  # do not start a service that is not running
_PATH, _INTERFACE, _MEMBER, _ERROR_NAME, _REPLY_SERIAL, _DESTINATION, _SIGNATURE = 1, 2, 3, 4, 5, 6, 8
_BOUNDARY = {"y": 1, "g": 1, "v": 1, "(": 8, "t": 8}  # of the others 4


class Failure(NamedTuple):
    """An error reply."""

    name: str  # org.freedesktop.systemd1.UnitExists
    text: str


class Bus:
    """A connection to the system bus. Raises OSError when the bus does not answer."""

    def __init__(self, path: str = SYSTEM_BUS) -> None:
        self._channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        self._serial = 0
        try:
            self._channel.settimeout(_SECONDS)
            self._channel.connect(path)
            identity = str(os.geteuid()).encode().hex()
            self._channel.sendall(f"\0AUTH EXTERNAL {identity}\r\n".encode())
            if not self._line().startswith(b"OK "):
                raise ConnectionRefusedError(0, "the system bus does not let us in")
            self._channel.sendall(b"BEGIN\r\n")
            self.call("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "Hello")
        except BaseException:
            self._channel.close()
            raise

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()

    def call(
        self, destination: str, path: str, interface: str, member: str, signature: str = "", *values: Any
    ) -> Failure | None:
        """Call a method. Returns None on success.

        `values` are of the types in `signature`: s str; b, u and t int; v a pair of signature and value; arrays and
        structures are sequences.
        """
        self._serial += 1
        self._channel.sendall(_message(self._serial, (destination, path, interface, member), signature, values))
        while True:
            kind, fields, text = self._receive()
            if fields.get(_REPLY_SERIAL) == self._serial and kind in (_RETURN, _ERROR):
                return Failure(str(fields.get(_ERROR_NAME)), text or "it failed") if kind == _ERROR else None

    def _receive(self) -> tuple[int, dict[int, str | int], str]:
        """(kind, header fields, first value as text) of the next message."""
        head = self._exactly(16)
        order = "<" if head[:1] == b"l" else ">"
        size, _, fields_size = struct.unpack_from(f"{order}III", head, 4)
        fields = self._exactly(_aligned(fields_size, 8))[:fields_size]
        return head[1], dict(_fields(fields, order)), _first_text(self._exactly(size), order)

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            more = self._channel.recv(size - len(data))
            if not more:
                raise ConnectionResetError(0, "the system bus has hung up")
            data += more
        return data

    def _line(self) -> bytes:
        line = b""
        while not line.endswith(b"\r\n"):
            line += self._exactly(1)
        return line


def _message(serial: int, to: tuple[str, str, str, str], signature: str, values: tuple[Any, ...]) -> bytes:
    destination, path, interface, member = to
    named = [(_PATH, "o", path), (_DESTINATION, "s", destination), (_INTERFACE, "s", interface), (_MEMBER, "s", member)]
    if signature:
        named.append((_SIGNATURE, "g", signature))
    body, fields = bytearray(), bytearray()
    for kind, value in zip(_kinds(signature), values, strict=True):
        _put(body, kind, value)
    for code, kind, text in named:
        _put(fields, "(yv)", (code, (kind, text)))
    head = struct.pack("<cBBBIII", b"l", _CALL, _NO_AUTO_START, 1, len(body), serial, len(fields))
    return head + _padded(bytes(fields), 8) + body


def _kinds(signature: str) -> Iterator[str]:
    """Split a signature into complete types: sa(sv)u has s, a(sv) and u."""
    at = 0
    while at < len(signature):
        end = at
        while signature[end] == "a":
            end += 1
        depth = 0
        while True:
            depth += {"(": 1, ")": -1}.get(signature[end], 0)
            end += 1
            if depth == 0:
                break
        yield signature[at:end]
        at = end


def _put(data: bytearray, kind: str, value: Any) -> None:
    """Append one value of one complete type."""
    first = kind[0]
    data += b"\0" * (-len(data) % _BOUNDARY.get(first, 4))
    if first in "so":
        data += _text(value)
    elif first in "ub":
        data += struct.pack("<I", value)
    elif first == "t":
        data += struct.pack("<Q", value)
    elif first == "y":
        data.append(value)
    elif first == "g":
        data += bytes([len(value)]) + value.encode() + b"\0"
    elif first == "v":
        _put(data, "g", value[0])
        _put(data, *value)
    elif first == "(":
        for inner, member in zip(_kinds(kind[1:-1]), value, strict=True):
            _put(data, inner, member)
    else:
        place = len(data)
        data += b"\0\0\0\0"
        data += b"\0" * (-len(data) % _BOUNDARY.get(kind[1], 4))
        begin = len(data)
        for item in value:
            _put(data, kind[1:], item)
        struct.pack_into("<I", data, place, len(data) - begin)


def _fields(fields: bytes, order: str) -> Iterator[tuple[int, str | int]]:
    """(code, value) of the header fields that are strings and numbers."""
    at = 0
    while at < len(fields):
        code, size = fields[at], fields[at + 1]
        kind = fields[at + 2 : at + 2 + size]
        at = at + 2 + size + 1
        if kind == b"g":
            at += 1 + fields[at] + 1
        else:
            at = _aligned(at, 4)
            number: int = struct.unpack_from(f"{order}I", fields, at)[0]
            if kind == b"u":
                yield code, number
                at += 4
            else:
                yield code, fields[at + 4 : at + 4 + number].decode("utf-8", "replace")
                at += 4 + number + 1
        at = _aligned(at, 8)


def _text(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<I", len(data)) + data + b"\0"


def _first_text(body: bytes, order: str) -> str:
    if len(body) < 4:
        return ""
    size = struct.unpack_from(f"{order}I", body)[0]
    return body[4 : 4 + size].decode("utf-8", "replace")


def _aligned(number: int, to: int) -> int:
    return -(-number // to) * to


def _padded(data: bytes, to: int) -> bytes:
    return data + b"\0" * (_aligned(len(data), to) - len(data))
