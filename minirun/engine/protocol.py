"""The words between commands and a monitor, on stream sockets: kind (1 byte), length (4 bytes), body.

The command that starts a container has a socket to its monitor from birth; others connect to the one that the
monitor listens on, `attach` in the container's directory.

starting command -> monitor    SPARE (a socket: one more monitor), FDS (sockets that hold ports), PLAN, GO
any command -> monitor         ATTACH (flags), STDIN, STDIN_END, RESIZE, SIGNAL, CANCEL (do not start it again),
                               PORTS (it changes the published ports; FDS hold new ones), SETTLED (all is in force)
monitor -> commands            STARTED, OUT, ERR, LOST (text), FAILED (code, text), EXITED (code)
"""

import os
import socket
import struct
from collections.abc import Iterator, Sequence
from enum import IntEnum

from minirun.kernel.sockets import send_with_fds

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
    ATTACH = 13
    CANCEL = 14
    SPARE = 15
    LOST = 16
    PORTS = 17
    SETTLED = 18


WANTS_OUTPUT, GIVES_STDIN = 1, 2  # flags of ATTACH
ATTACH_SOCKET = "attach"


def frame(kind: Kind, body: bytes = b"") -> bytes:
    return _HEADER.pack(kind, len(body)) + body


def send_sockets(channel: socket.socket, sockets: Sequence[socket.socket]) -> None:
    """As FDS, as many messages as that takes."""
    for start in range(0, len(sockets), MOST_FDS):
        send_with_fds(channel, frame(Kind.FDS), [one.fileno() for one in sockets[start : start + MOST_FDS]])


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
        try:
            self.write_to(write)
        except OSError:
            self._pending.clear()
            return False
        return True

    def write_to(self, write: "socket.socket | int") -> None:
        while self._pending:
            with memoryview(self._pending) as whole, whole[: 4 * CHUNK] as piece:
                try:
                    sent = os.write(write, piece) if isinstance(write, int) else write.send(piece)
                except BlockingIOError:
                    return
            del self._pending[:sent]


class Spool(Outbox):
    """An outbox that a slow reader cannot fill: from HIGH_WATER on, frames wait in a file without a name.

    So neither the program nor its log ever waits for whoever looks on. When the disk is full, what waits in the file
    is dropped, and a LOST frame says so.
    """

    def __init__(self, directory: str) -> None:
        super().__init__()
        self._directory = directory
        self._file = -1
        self._read = self._written = 0  # offsets in the file

    def __len__(self) -> int:
        return len(self._pending) + self._written - self._read

    def add(self, data: bytes) -> None:
        """One whole frame."""
        if self._read == self._written and len(self._pending) < HIGH_WATER:
            self._pending += data
            return
        try:
            if self._file < 0:
                self._file = os.open(self._directory, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
            view = memoryview(data)
            while view:
                view = view[os.pwrite(self._file, view, self._written + len(data) - len(view)) :]
            self._written += len(data)
        except OSError as error:
            lost = self._written - self._read + len(data)
            self._written = self._read
            self._pending += frame(Kind.LOST, f"{lost} bytes of output were lost: {error.strerror}".encode())

    def clear(self) -> None:
        super().clear()
        self._read = self._written = 0
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def flush(self, write: "socket.socket | int") -> bool:
        while super().flush(write):
            if self._pending or self._read == self._written:
                return True
            self._refill()
        self.clear()
        return False

    def _refill(self) -> None:
        """Whole frames only, so that one may be put behind them at any time."""
        while self._read < self._written and len(self._pending) < CHUNK:
            _, length = _HEADER.unpack(os.pread(self._file, _HEADER.size, self._read))
            piece = os.pread(self._file, _HEADER.size + length, self._read)
            self._pending += piece
            self._read += len(piece)
        if self._read == self._written:
            os.ftruncate(self._file, 0)
            self._read = self._written = 0
