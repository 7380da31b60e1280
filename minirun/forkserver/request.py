"""The messages between a launcher, the server and a worker, on one stream socket, as in csrc/launcher.c.

    launcher -> worker    the first 8 bytes of a header
    worker -> launcher    one byte: somebody reads
    launcher -> worker    the rest, with descriptors: the launcher's pidfd, its root, its working directory, its files;
                          then the numbers of the files, the words and the environment
    worker -> launcher    READY with its own pidfd, a pipe to hold open until the end, and the file cgroup.procs of the
                          launcher's v2 cgroup if the worker is in another one; or PLAIN (why this command has to start
                          Python itself; a value other than 0 asks it to replace the server by one that has the
                          launcher's limits)
    launcher -> worker    one byte: go on
    worker -> launcher    DONE or CODE, its exit code, at the end. After DONE it holds nothing of the launcher's; after
                          CODE its end has to be awaited
    server -> launcher    STOPPED and ENDED, as wait(2) reports them

In place of a header, `STOP` asks the server to end: the connection ends when it takes no more commands. `STATUS` asks
how it is: the answer is JSON (server.py, _status). A worker tells the server on a datagram socket that it has a
launcher (TAKEN, with the connection), which process goes on in its place (MOVED), or what it was asked for (ASKED).
"""

import array
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass

READY, PLAIN, STOPPED, DONE, CODE, ENDED = b"R", b"P", b"S", b"D", b"C", b"E"
TAKEN, MOVED, ASKED = b"taken %d 0", b"moved %d %d", b"asked %d %b"
STOP, STATUS = b"stop....", b"status.."
HELLO, GO = b"H", b"G"
TIMEOUT = 10.0  # seconds that half a request is waited for
_MAGIC = b"minirun1"
_HEADER = struct.Struct("=8sIIIIQQ")
_REPLY = struct.Struct("=c3xi120s")
_MOST_BODY = 16 << 20  # bytes; execve(2) takes 6 MiB at most
_MOST_FILES = 4096 + 3
_FILES_A_MESSAGE = 253


class RequestError(Exception):
    """Not a request, or not a whole one."""


@dataclass(frozen=True)
class Request:
    """A command line, and what its launcher has.

    launcher, root, directory: descriptors: its pidfd, and two directories
    files: its open files: their numbers there, and the descriptors here
    ignored, blocked: signals, as masks
    """

    launcher: int
    root: int
    directory: int
    files: dict[int, int]
    words: list[bytes]
    environment: list[bytes]
    ignored: int
    blocked: int


def receive(channel: socket.socket, start: bytes, fds: list[int]) -> Request:
    """Read the rest of a request, of which `start` has been read, with these descriptors.

    RequestError when it is none, TimeoutError when it does not come.
    """
    if start != _MAGIC:
        raise RequestError("it is not a request of this version")
    channel.sendall(HELLO)
    header = start + exactly(channel, _HEADER.size - len(start), fds)
    _, size, count, words, variables, ignored, blocked = _HEADER.unpack(header)
    if size > _MOST_BODY or not 3 <= count <= _MOST_FILES:
        raise RequestError("it is not a request of this version")
    while len(fds) < count:
        exactly(channel, 1, fds)
    body = exactly(channel, size, fds)
    numbers_size = 4 * (count - 3)
    if len(body) < numbers_size:
        raise RequestError("its parts do not fit together")
    numbers = array.array("I", body[:numbers_size]).tolist()
    strings = body[numbers_size:].split(b"\0")
    if len(strings) != words + variables + 1 or not words or len(fds) != count:
        raise RequestError("its parts do not fit together")
    launcher, root, directory, *received = fds
    files = dict(zip(numbers, received, strict=True))
    return Request(launcher, root, directory, files, strings[:words], strings[words:-1], ignored, blocked)


def receive_start(channel: socket.socket) -> tuple[bytes, list[int]]:
    """The first bytes of what a client says, and the descriptors that came with them."""
    fds: list[int] = []
    return exactly(channel, len(_MAGIC), fds), fds


def send_reply(channel: socket.socket, kind: bytes, value: int = 0, text: str = "", fds: Sequence[int] = ()) -> None:
    """Send a reply; one that nobody reads any more is dropped."""
    data = _REPLY.pack(kind, value, text.encode(errors="replace")[:119])
    try:
        socket.send_fds(channel, [data], fds)
    except (BrokenPipeError, ConnectionResetError, BlockingIOError):
        pass


def exactly(channel: socket.socket, size: int, fds: list[int]) -> bytes:
    """That many bytes; descriptors that come with them are appended to `fds`."""
    parts: list[bytes] = []
    while size > 0:
        data, ancillary, flags, _ = channel.recvmsg(min(size, 1 << 20), socket.CMSG_SPACE(4 * _FILES_A_MESSAGE))
        for level, kind, block in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                received = array.array("i")
                received.frombytes(block[: len(block) - len(block) % received.itemsize])
                fds.extend(received)
        if flags & socket.MSG_CTRUNC:
            raise RequestError("not all of its files could be received")
        if not data:
            raise RequestError("it ends early")
        parts.append(data)
        size -= len(data)
    return b"".join(parts)
