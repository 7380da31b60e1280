"""As much of D-Bus as it takes to call a method with words and learn whether it worked.

https://dbus.freedesktop.org/doc/dbus-specification.html: all numbers little-endian, each value on its own boundary.
"""

import os
import socket
import struct

SYSTEM_BUS = "/run/dbus/system_bus_socket"
_SECONDS = 5.0
_CALL, _RETURN, _ERROR = 1, 2, 3
_NO_AUTO_START = 2  # a service that does not run is not to be started by this
_PATH, _INTERFACE, _MEMBER, _REPLY_SERIAL, _DESTINATION, _SIGNATURE = 1, 2, 3, 5, 6, 8


class Bus:
    """The system bus. OSError when nobody is there, or nobody answers."""

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
        self._channel.close()

    def call(self, destination: str, path: str, interface: str, member: str, *words: str) -> str:
        """ "" when it worked, otherwise what is wrong."""
        self._serial += 1
        self._channel.sendall(_message(self._serial, destination, path, interface, member, words))
        while True:
            kind, answered, said = self._receive()
            if answered == self._serial and kind in (_RETURN, _ERROR):
                return (said or "it failed") if kind == _ERROR else ""

    def _receive(self) -> tuple[int, int, str]:
        """(kind, serial of the call that it answers, its first value as a text)."""
        head = self._exactly(16)
        order = "<" if head[:1] == b"l" else ">"
        size, _, fields_size = struct.unpack_from(f"{order}III", head, 4)
        fields = self._exactly(_aligned(fields_size, 8))[:fields_size]
        return head[1], _reply_serial(fields, order), _first_text(self._exactly(size), order)

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


def _message(serial: int, destination: str, path: str, interface: str, member: str, words: tuple[str, ...]) -> bytes:
    named = ((_PATH, "o", path), (_DESTINATION, "s", destination), (_INTERFACE, "s", interface), (_MEMBER, "s", member))
    fields = b""
    for code, kind, text in named:
        fields = _padded(fields, 8) + bytes([code, 1]) + kind.encode() + b"\0" + _text(text)
    if words:
        kinds = "s" * len(words)
        fields = _padded(fields, 8) + bytes([_SIGNATURE, 1]) + b"g\0" + bytes([len(kinds)]) + kinds.encode() + b"\0"
    body = b""
    for word in words:
        body = _padded(body, 4) + _text(word)
    head = struct.pack("<cBBBIII", b"l", _CALL, _NO_AUTO_START, 1, len(body), serial, len(fields))
    return head + _padded(fields, 8) + body


def _reply_serial(fields: bytes, order: str) -> int:
    """Of the header's fields (each a code, a type and a value) the one that says which call is answered."""
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
            if code == _REPLY_SERIAL:
                return number
            at += 4 if kind == b"u" else 4 + number + 1
        at = _aligned(at, 8)
    return 0


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
