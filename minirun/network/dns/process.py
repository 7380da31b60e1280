"""The DNS server's process: its event loop, and its end when nobody needs it any more.

python -m minirun.network.dns.process STATE_ROOT      started by server_control.py, with the sockets in place
"""

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
from traceback import format_exc

from minirun.instance import Instance
from minirun.kernel.event_loop import READ, Interest, Part, turn_parts
from minirun.network.dns.records import Records
from minirun.network.dns.server import DnsServer
from minirun.network.dns.server_control import CONTROL_FD, END, END_SOON, KEEP_ALIVE, TCP_FD, UDP_FD, remove_server
from minirun.network.repair.watch import Watcher

_IDLE_TIME = 1.0  # seconds without a user after which it ends: the next start may be near, and finds it running
_TRY_AGAIN = 0.02  # seconds after which it tries again to end, when somebody holds the lock
_MAX_LOG = 64 * 1024  # bytes


class Users:
    """The connections of those who need the server: one part of the event loop.

    They have an epoll of their own, so that a thousand of them cost a query nothing.
    """

    def __init__(self, listener: socket.socket) -> None:
        listener.setblocking(False)
        self._listener = listener
        self._channels: dict[int, socket.socket] = {}
        self._keeping_alive: set[int] = set()
        self._events = select.epoll()
        self._wanted_until = time.monotonic() + _IDLE_TIME
        self._ends_soon = False
        self.end_requested = False

    def interests(self) -> Iterator[Interest]:
        """Yield the listener and the epoll of all connections (kernel/event_loop.py)."""
        yield self._listener.fileno(), READ, self.accept_all
        yield self._events.fileno(), READ, self._read_ready

    def due(self) -> float | None:
        """Return the seconds until the server is unneeded; None while it has a user."""
        return None if self._keeping_alive else max(0.0, self._wanted_until - time.monotonic())

    def tick(self) -> None:
        """Do nothing: `serve` asks is_unneeded itself."""

    def is_unneeded(self) -> bool:
        """Return whether nobody has needed the server for a while."""
        return not self._keeping_alive and time.monotonic() >= self._wanted_until

    def wait_longer(self) -> None:
        """Stay for the moment that the holder of the lock may need to connect."""
        self._wanted_until = time.monotonic() + _TRY_AGAIN

    def accept_all(self) -> None:
        """Accept every waiting connection and read what it has sent already."""
        while True:
            try:
                channel, _ = self._listener.accept()
            except OSError:  # nobody is waiting, it is gone again, or no descriptor is free
                return
            channel.setblocking(False)
            self._channels[channel.fileno()] = channel
            self._events.register(channel.fileno(), READ)
            self._read(channel.fileno())

    def _read_ready(self) -> None:
        for fd, _ in self._events.poll(0):
            self._read(fd)

    def _read(self, fd: int) -> None:
        try:
            data = self._channels[fd].recv(16)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._forget(fd)
        elif END in data:
            self.end_requested = True
        elif END_SOON in data:
            self._ends_soon, self._wanted_until = True, 0.0
        elif KEEP_ALIVE in data:
            self._keeping_alive.add(fd)
            self._ends_soon = False

    def _forget(self, fd: int) -> None:
        self._events.unregister(fd)
        self._channels.pop(fd).close()
        if fd in self._keeping_alive:
            self._keeping_alive.discard(fd)
            self._wanted_until = 0.0 if self._ends_soon else time.monotonic() + _IDLE_TIME


class DnsProcess:
    """The process of one instance: its DNS server, its users, and the watcher that repairs networks."""

    def __init__(self, root: Path) -> None:
        self.instance = Instance(root)
        self.users = Users(socket.socket(fileno=CONTROL_FD))
        records = Records(self.instance.store)
        server = DnsServer(records, socket.socket(fileno=UDP_FD), socket.socket(fileno=TCP_FD))
        self.parts: list[Part] = [self.users, server, Watcher(self.instance, log)]

    def serve(self) -> None:
        """Run until nobody needs the server, or it is told to end."""
        while not self.users.end_requested:
            try:
                turn_parts(self.parts)
            except Exception:  # noqa: BLE001 - whatever one query did, the others have to be answered
                log(format_exc())
                time.sleep(0.01)
            if self.users.is_unneeded() and self._end():
                return

    def _end(self) -> bool:
        """Remove what belongs to the server; False when a user has come meanwhile.

        Whoever connects holds the lock. So either the connection is seen here, or the user finds no socket and starts a
        new server.
        """
        fd = os.open(self.instance.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.users.accept_all()
            if self.users.is_unneeded():
                remove_server(self.instance)
                return True
        except BlockingIOError:  # do not wait for the lock: its holder may be waiting to be accepted here
            self.users.wait_longer()
        finally:
            os.close(fd)
        return False


def log(text: str) -> None:
    """Write to standard error, which is the log file; a long file is emptied first."""
    if os.fstat(2).st_size > _MAX_LOG:
        os.ftruncate(2, 0)
    print(text, file=sys.stderr, flush=True)


def main(root: str) -> None:
    """Serve the instance with this state root. The sockets are open as UDP_FD, TCP_FD and CONTROL_FD."""
    _, hard_limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard_limit, hard_limit))
    process = DnsProcess(Path(root))
    gc.collect()
    gc.freeze()
    process.serve()


if __name__ == "__main__":
    main(sys.argv[1])
