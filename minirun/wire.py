"""The words between a command and a monitor, on a stream socket: kind (1 byte), length (4 bytes), body.

command -> monitor      PLAN (with the sockets that hold ports), GO, STDIN, STDIN_END, RESIZE, SIGNAL
monitor -> command      STARTED, OUT, ERR, FAILED (code, text), EXITED (code)
"""

import os
import socket
import struct
from collections.abc import Iterator
from enum import IntEnum

_HEADER = struct.Struct(">BI")
CHUNK = 65536
HIGH_WATER = 4 * CHUNK  # stop reading from the source while more than this waits for its sink
MOST_FDS = 253  # SCM_MAX_FD: what one message can carry


class Kind(IntEnum):
    PLAN = 1
    GO = 2
    STDIN = 3
    STDIN_END = 4
    RESIZE = 5
    SIGNAL = 6
    STARTED = 7
    OUT = 8
    ERR = 9
    FAILED = 10
    EXITED = 11
    FDS = 12


def frame(kind: Kind, body: bytes = b"") -> bytes:
    return _HEADER.pack(kind, len(body)) + body


class Parser:
    """Bytes in, whole frames out."""

    def __init__(self) -> None:
        self._pending = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[Kind, bytes]]:
        self._pending += data
        while len(self._pending) >= _HEADER.size:
            kind, length = _HEADER.unpack_from(self._pending)
            end = _HEADER.size + length
            if len(self._pending) < end:
                return
            body = bytes(self._pending[_HEADER.size : end])
            del self._pending[:end]
            yield Kind(kind), body


class Outbox:
    """What waits to go out on a non-blocking socket or pipe."""

    def __init__(self) -> None:
        self._pending = bytearray()

    def __len__(self) -> int:
        return len(self._pending)

    def add(self, data: bytes) -> None:
        self._pending += data

    def clear(self) -> None:
        self._pending.clear()

    def flush(self, write: "socket.socket | int") -> bool:
        """Write what can be written now; False when the other side is gone."""
        while self._pending:
            try:
                piece = memoryview(self._pending)[: 4 * CHUNK]
                sent = os.write(write, piece) if isinstance(write, int) else write.send(piece)
                piece.release()
            except BlockingIOError:
                piece.release()
                return True
            except OSError:
                piece.release()
                self._pending.clear()
                return False
            del self._pending[:sent]
        return True
