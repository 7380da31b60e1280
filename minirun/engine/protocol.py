"""The messages between commands and a shim, on stream sockets: kind (1 byte), length (4 bytes), body.

The command that starts a container has a socket pair with its shim; others connect to the socket that the shim
listens on, `attach` in the container's directory.

starting command -> shim       SPARE (a socket: fork one more shim), CLIENT (flags, and the socket of one that waited
                               for the start), FDS (sockets that reserve ports), PLAN, GO
any command -> shim            ATTACH (flags), STDIN, STDIN_END, RESIZE, SIGNAL, CANCEL (do not start it again),
                               PORTS (begins a hot update; FDS reserve new ports), SETTLED (everything is applied)
shim -> commands               STARTED, OUT, ERR, LOST (text), FAILED (code, text), EXITED (code)
"""

import os
import socket
import struct
from collections.abc import Iterator, Sequence
from enum import IntEnum

from minirun.kernel.sockets import send_with_fds

_HEADER = struct.Struct(">BI")
CHUNK = 65536
HIGH_WATER = 4 * CHUNK  # bytes: no more is read from a source while so much waits for its sink
MOST_FDS = 253  # SCM_MAX_FD: what one message can carry


class Kind(IntEnum):
    """The kind of a message. The numbers are fixed: commands of another version talk to running shims."""

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
    CLIENT = 19


WANTS_OUTPUT, GIVES_STDIN = 1, 2  # flags of ATTACH
ATTACH_SOCKET = "attach"


def frame(kind: Kind, body: bytes = b"") -> bytes:
    """Encode a message."""
    return _HEADER.pack(kind, len(body)) + body


def send_sockets(channel: socket.socket, sockets: Sequence[socket.socket]) -> None:
    """Send sockets as FDS, in as many messages as that takes."""
    for start in range(0, len(sockets), MOST_FDS):
        send_with_fds(channel, frame(Kind.FDS), [each.fileno() for each in sockets[start : start + MOST_FDS]])


class Parser:
    """Decodes messages from a byte stream."""

    def __init__(self) -> None:
        self._pending = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[Kind, bytes]]:
        """Yield the whole messages so far, as kind and body. ValueError for an unknown kind."""
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
    """A queue of bytes for a non-blocking socket or pipe."""

    def __init__(self) -> None:
        self._pending = bytearray()

    def __len__(self) -> int:
        return len(self._pending)

    def add(self, data: bytes) -> None:
        """Append to the queue."""
        self._pending += data

    def clear(self) -> None:
        """Drop what waits."""
        self._pending.clear()

    def flush(self, write: socket.socket | int) -> bool:
        """Write what can be written now. False, and an empty queue, when the other side is gone."""
        try:
            self.write_to(write)
        except OSError:
            self._pending.clear()
            return False
        return True

    def write_to(self, write: socket.socket | int) -> None:
        """Write what can be written now. OSError when the other side is gone."""
        while self._pending:
            with memoryview(self._pending) as whole, whole[: 4 * CHUNK] as piece:
                try:
                    sent = os.write(write, piece) if isinstance(write, int) else write.send(piece)
                except BlockingIOError:
                    return
            del self._pending[:sent]


class Spool(Outbox):
    """An outbox for a slow client: above HIGH_WATER, messages wait in an unnamed file in `directory` (O_TMPFILE).

    So neither the program nor its log ever waits for a client. When the disk is full, what waits in the file is
    dropped, and a LOST message says so.
    """

    def __init__(self, directory: str) -> None:
        super().__init__()
        self._directory = directory
        self._file = -1
        self._read = self._written = 0  # offsets in the file

    def __len__(self) -> int:
        return len(self._pending) + self._written - self._read

    def add(self, data: bytes) -> None:
        """Append one whole message."""
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
        """Drop what waits, and the file."""
        super().clear()
        self._read = self._written = 0
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def flush(self, write: socket.socket | int) -> bool:
        """Write what can be written now, then what the file has. False when the other side is gone."""
        while super().flush(write):
            if self._pending or self._read == self._written:
                return True
            self._refill()
        self.clear()
        return False

    def _refill(self) -> None:
        """Read whole messages back from the file, so that another may be appended at any time."""
        while self._read < self._written and len(self._pending) < CHUNK:
            _, length = _HEADER.unpack(os.pread(self._file, _HEADER.size, self._read))
            piece = os.pread(self._file, _HEADER.size + length, self._read)
            self._pending += piece
            self._read += len(piece)
        if self._read == self._written:
            os.ftruncate(self._file, 0)
            self._read = self._written = 0
