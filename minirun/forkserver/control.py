"""What the command line asks of the fork server of its installation: how it is, and to stop.

The one who asks may be a worker of that server, which ends after its last worker. So nothing here waits for its end.
"""

import fcntl
import json
import os
import socket
import struct
import time
from dataclasses import dataclass
from pathlib import Path

from minirun.errors import MinirunError
from minirun.forkserver.location import DIRECTORY, launcher, socket_path
from minirun.forkserver.request import STATUS, STOP
from minirun.kernel.usage import memory_with_children

_PATIENCE = 5.0  # seconds for an answer
_START = 20.0  # seconds for a server that is importing, on a busy machine
_LAST_WORKER = 2.0  # seconds for the end of a worker that waits for commands
_PAUSE = 0.02
_LARGEST = 4096  # bytes of an answer
_CREDENTIALS = struct.Struct("3i")  # struct ucred
_SYSTEMD = 1


class NoAnswerError(MinirunError):
    """The server is there and does not answer, or what is there is not the server."""


@dataclass(frozen=True)
class ServerStatus:
    """A server that runs.

    pid: its process; 0 when it is in a pid namespace that cannot be seen from here
    commands: how many it has run so far
    running: how many of them run now
    started: seconds since the epoch
    idle: seconds since the last command ended; 0 while one runs
    memory: bytes that it and its workers use
    """

    pid: int
    commands: int
    running: int
    started: float
    idle: float
    memory: int


def status() -> ServerStatus | None:
    """How the server is; None when there is none. NoAnswerError after a few seconds without an answer."""
    path = _own_socket()
    connection = None if path is None else _connect(path)
    if connection is None:
        return None
    channel, pid = connection
    with channel:
        try:
            answer = json.loads(_ask(channel, STATUS, pid))
            pid = int(answer["pid"]) if pid == _SYSTEMD else pid
            counts = int(answer["commands"]), int(answer["running"])
            times = float(answer["started"]), float(answer["idle"])
        except (ValueError, KeyError, TypeError):
            raise _no_answer(pid) from None
    return ServerStatus(pid, *counts, *times, memory_with_children(pid) if pid else 0)


def stop() -> None:
    """Have the server take no more commands. It ends after those that it runs. Nothing happens when there is none.

    A server that is starting is waited for, 20 seconds at most. NoAnswerError after a few seconds without an answer.
    """
    path = _own_socket()
    if path is None:
        return
    until = time.monotonic() + _START
    while (connection := _connect(path)) is None and _is_locked(path.with_suffix(".lock")):
        if time.monotonic() >= until:
            raise _no_answer(0)
        time.sleep(_PAUSE)
    if connection is not None:
        channel, pid = connection
        with channel:
            _ask(channel, STOP, pid)


def remove_files() -> None:
    """Remove what a server that has been stopped leaves: its lock and its log. Not while another one starts.

    Its workers have the lock, too. The one that waits ends at once; those that run commands may take long.
    """
    path = _own_socket()
    if path is None:
        return
    until = time.monotonic() + _LAST_WORKER
    while _is_locked(path.with_suffix(".lock")) and time.monotonic() < until:
        time.sleep(_PAUSE)
    lock = path.with_suffix(".lock")
    try:
        fd = os.open(lock, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        for file in (path.with_suffix(".log"), lock):
            file.unlink(missing_ok=True)
        DIRECTORY.rmdir()
    except OSError:  # another server starts, or the directory has those of other installations
        pass
    finally:
        os.close(fd)


def _own_socket() -> Path | None:
    path = launcher()
    return None if path is None else socket_path(path)


def _connect(path: Path) -> tuple[socket.socket, int] | None:
    """A connection, and the pid of who listens: the server or systemd. None when no server runs."""
    if not path.with_suffix(".code").exists():
        return None  # a server that runs has noted its code; without one, systemd would start it for who connects
    channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    channel.settimeout(_PATIENCE)
    try:
        channel.connect(str(path))
    except (FileNotFoundError, ConnectionRefusedError):
        channel.close()
        return None
    except OSError:  # its queue is full
        channel.close()
        raise _no_answer(0) from None
    pid, user, _ = _CREDENTIALS.unpack(channel.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    if user != 0:
        channel.close()
        raise NoAnswerError(f"what listens at {path} does not belong to root", f"remove {path}")
    return channel, pid


def _ask(channel: socket.socket, question: bytes, pid: int) -> bytes:
    """The answer, up to the end of the connection."""
    until = time.monotonic() + _PATIENCE
    answer = b""
    try:
        channel.sendall(question)
        while len(answer) < _LARGEST:
            channel.settimeout(max(0.001, until - time.monotonic()))
            part = channel.recv(_LARGEST)
            if not part:
                break
            answer += part
    except TimeoutError:
        raise _no_answer(pid) from None
    except ConnectionError:  # it ended meanwhile
        pass
    return answer


def _is_locked(path: Path) -> bool:
    """Whether a server holds the lock: it is starting, or ending."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def _no_answer(pid: int) -> NoAnswerError:
    if pid == _SYSTEMD:
        end = "systemctl kill --signal=KILL minirun-forkserver.service"
    else:
        end = f"kill -9 {pid}" if pid else "kill -9 to the process minirun-forkserver"
    return NoAnswerError("the fork server does not answer", f"{end} ends it; commands and containers go on")
