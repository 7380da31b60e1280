"""The process: parts that wait for something, each in its turn; and its end, when nobody needs it any more."""

import fcntl
import gc
import os
import resource
import select
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from minirun.instance import Instance
from minirun.kernel.event_loop import READ, Interest, Part, turn_parts
from minirun.network.dns.records import Directory
from minirun.network.dns.server import Service
from minirun.network.dns.server_control import CONTROL, DATAGRAMS, ENDS, KEEPS, LISTENER, take_away
from minirun.network.repair.watch import Watcher

_GRACE = 1.0  # seconds without anybody after which it ends: the next start may be near, and finds all in place
_LARGEST_LOG = 64 * 1024


class Keepers:
    """The connections of those who need the resolver. In an epoll of their own: a thousand of them cost a question
    nothing."""

    def __init__(self, listener: socket.socket) -> None:
        listener.setblocking(False)
        self._listener = listener
        self._channels: dict[int, socket.socket] = {}
        self._keeping: set[int] = set()
        self._events = select.epoll()
        self._alone_since = time.monotonic()
        self.is_told_to_end = False

    def interests(self) -> Iterator[Interest]:
        yield self._listener.fileno(), READ, self.accept_all
        yield self._events.fileno(), READ, self._hear_all

    def due(self) -> float | None:
        return None if self._keeping else max(0.0, self._alone_since + _GRACE - time.monotonic())

    def tick(self) -> None: ...

    def is_unneeded(self) -> bool:
        return not self._keeping and time.monotonic() >= self._alone_since + _GRACE

    def wait_longer(self) -> None:
        self._alone_since = time.monotonic()

    def accept_all(self) -> None:
        while True:
            try:
                channel, _ = self._listener.accept()
            except OSError:  # nobody there, gone again, or no descriptor free
                return
            channel.setblocking(False)
            self._channels[channel.fileno()] = channel
            self._events.register(channel.fileno(), READ)
            self._hear(channel.fileno())

    def _hear_all(self) -> None:
        for fd, _ in self._events.poll(0):
            self._hear(fd)

    def _hear(self, fd: int) -> None:
        try:
            data = self._channels[fd].recv(16)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._forget(fd)
        elif ENDS in data:
            self.is_told_to_end = True
        elif KEEPS in data:
            self._keeping.add(fd)

    def _forget(self, fd: int) -> None:
        self._events.unregister(fd)
        self._channels.pop(fd).close()
        if fd in self._keeping:
            self._keeping.discard(fd)
            self._alone_since = time.monotonic()


class Resolver:
    def __init__(self, root: Path) -> None:
        self.instance = Instance(root)
        self.keepers = Keepers(socket.socket(fileno=CONTROL))
        names = Service(Directory(self.instance.store), socket.socket(fileno=DATAGRAMS), socket.socket(fileno=LISTENER))
        self.parts: list[Part] = [
            self.keepers,
            names,
            Watcher(self.instance, note),
        ]

    def live(self) -> None:
        while not self.keepers.is_told_to_end:
            try:
                turn_parts(self.parts)
            except Exception:  # noqa: BLE001 - whatever one question did, the others are to be answered
                from traceback import format_exc  # a fifth of its memory, for what hardly ever happens

                note(format_exc())
                time.sleep(0.01)
            if self.keepers.is_unneeded() and self._end():
                return

    def _end(self) -> bool:
        """False when somebody has come meanwhile. Whoever wants to reach the resolver holds the lock: so either its
        connection is seen here, or it finds no socket, and starts a new one."""
        fd = os.open(self.instance.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.keepers.accept_all()
            if self.keepers.is_unneeded():
                take_away(self.instance)
                return True
        except BlockingIOError:  # not waited for: who holds it may be waiting to be accepted
            self.keepers.wait_longer()
        finally:
            os.close(fd)
        return False


def note(text: str) -> None:
    """On standard error, which is the log; what is in it already is dropped once it is long."""
    if os.fstat(2).st_size > _LARGEST_LOG:
        os.ftruncate(2, 0)
    print(text, file=sys.stderr, flush=True)


def main(root: str) -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    resolver = Resolver(Path(root))
    gc.collect()
    gc.freeze()
    resolver.live()
