"""The service's process: it listens, keeps connections that wait, and gives those that ask to workers.

It holds nothing of what is asked for. A worker is a process. It serves one connection until that is quiet again, gives
it back, and is ready for another: the service has kept the socket open. So a slow or stuck client holds up only its own
worker, a kill of the service ends no container, and a connection that waits costs a descriptor.
"""

import errno
import gc
import os
import select
import signal
import socket
import ssl
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from minirun.api.tls import Relay
from minirun.kernel import processes

BACKLOG = 4096
_MOST_WORKERS = 512  # more requests at once wait for one of these
_MOST_RELAYS = 256  # clients by TLS; more are turned away
_KEEP, _CLOSE = b"K", b"C"  # what a worker says of its connection
_IDLE, _AGE = 5.0, 60.0  # seconds: a worker ends when it has been idle, or alive, for so long


@dataclass(frozen=True)
class ServiceOptions:
    """How the service runs.

    root: the state root
    idle_time: seconds without a client until the service ends; 0: it stays
    debug: each request is a line on standard error
    tls: for clients that come by TCP
    """

    root: Path
    idle_time: float = 0
    debug: bool = False
    tls: ssl.SSLContext | None = None


@dataclass
class _Worker:
    """A process that serves one connection at a time. The channel is to it."""

    pid: int
    channel: socket.socket
    connection: socket.socket | None = None


Serve = Callable[[socket.socket, Path, bool], bool]  # worker.serve_connection


class Service:
    """Listeners, the connections that wait for a request, and the workers."""

    def __init__(self, listeners: list[socket.socket], options: ServiceOptions, serve_connection: Serve) -> None:
        self._options = options
        self._serve_connection = serve_connection
        self._listeners = {listener.fileno(): listener for listener in listeners}
        self._waiting: dict[int, socket.socket] = {}  # connections, by descriptor
        self._workers: dict[int, _Worker] = {}  # by the descriptor of their channel
        self._relays: set[int] = set()  # pids
        self._poll = select.epoll()
        self._wakeup, self._wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._used = time.monotonic()
        self._is_ending = False

    def serve(self) -> None:
        """Serve until the service is idle or told to end. What workers serve then goes on."""
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._end)
        signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)
        self._poll.register(self._wakeup, select.EPOLLIN)
        for fd, listener in self._listeners.items():
            listener.setblocking(False)
            self._poll.register(fd, select.EPOLLIN)
        gc.collect()
        gc.freeze()  # a collection in a worker would write to, and so copy, every page
        while not self._is_ending and not self._is_idle():
            for fd, _ in self._poll.poll(self._patience()):
                if fd == self._wakeup:
                    self._drain()
                elif fd in self._listeners:
                    self._accept(self._listeners[fd])
                elif fd in self._workers:
                    self._hear(self._workers[fd])
                elif fd in self._waiting and self._has_room():
                    self._give(self._waiting.pop(fd))
            self._reap()

    def _end(self, *_: object) -> None:
        self._is_ending = True

    @property
    def _is_in_use(self) -> bool:
        return bool(self._waiting) or any(worker.connection for worker in self._workers.values())

    def _is_idle(self) -> bool:
        limit = self._options.idle_time
        return bool(limit) and not self._is_in_use and time.monotonic() - self._used >= limit

    def _patience(self) -> float | None:
        """Seconds until it may be idle."""
        if not self._options.idle_time or self._is_in_use:
            return None
        return max(0.0, self._used + self._options.idle_time - time.monotonic())

    def _accept(self, listener: socket.socket) -> None:
        try:
            connection, _ = listener.accept()
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                time.sleep(0.05)  # until a client leaves
            return
        if connection.family != socket.AF_UNIX:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            if self._options.tls:
                self._accept_tls(connection, self._options.tls)
                return
        self._wait(connection)

    def _accept_tls(self, client: socket.socket, context: ssl.SSLContext) -> None:
        """Wait for what a client sends by TLS, at a socket that a process of its own writes to."""
        with client:
            if len(self._relays) >= _MOST_RELAYS:
                return
            inner, outer = socket.socketpair()
            with outer:
                relay = Relay(client, outer, context)
                self._relays.add(processes.fork(lambda: self._relay(relay, inner), traceback.print_exception))
        self._wait(inner)

    def _relay(self, relay: Relay, inner: socket.socket) -> int:
        """In the process."""
        self._leave_service()
        inner.close()
        return relay.run()

    def _wait(self, connection: socket.socket) -> None:
        self._waiting[connection.fileno()] = connection
        self._poll.register(connection.fileno(), select.EPOLLIN)

    def _has_room(self) -> bool:
        """Whether a worker is free, or one more may be forked."""
        if len(self._workers) < _MOST_WORKERS or any(one.connection is None for one in self._workers.values()):
            return True
        time.sleep(0.01)  # the connection stays readable
        return False

    def _give(self, connection: socket.socket) -> None:
        """Give a connection that has something to read to a worker, unless that is only its end."""
        self._poll.unregister(connection.fileno())
        self._used = time.monotonic()
        if self._has_ended(connection):
            connection.close()
            return
        for worker in [one for one in self._workers.values() if one.connection is None]:
            try:
                socket.send_fds(worker.channel, [b"C"], [connection.fileno()])
            except OSError:  # it has just ended
                continue
            worker.connection = connection
            return
        self._fork(connection)

    def _fork(self, connection: socket.socket) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        socket.send_fds(ours, [b"C"], [connection.fileno()])
        pid = processes.fork(lambda: self._work(theirs, (ours, connection)), traceback.print_exception)
        theirs.close()
        self._workers[ours.fileno()] = _Worker(pid, ours, connection)
        self._poll.register(ours.fileno(), select.EPOLLIN)

    @staticmethod
    def _has_ended(connection: socket.socket) -> bool:
        """Whether the client has closed it: no worker is needed for that."""
        try:
            return not connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            return True

    def _hear(self, worker: _Worker) -> None:
        """It gives its connection back, or has ended."""
        try:
            said = worker.channel.recv(1)
        except OSError:
            said = b""
        connection, worker.connection = worker.connection, None
        if connection is not None:
            self._used = time.monotonic()
            if said == _KEEP:
                self._wait(connection)
            else:
                connection.close()
        if not said:
            del self._workers[worker.channel.fileno()]
            self._poll.unregister(worker.channel.fileno())
            worker.channel.close()

    def _work(self, channel: socket.socket, others: tuple[socket.socket, ...]) -> int:
        """In the worker, which gets even its first connection by the channel: a copy of it would stay open."""
        self._leave_service()
        for other in others:
            other.close()
        ends_at = time.monotonic() + _AGE
        while connection := _next_connection(channel, min(_IDLE, ends_at - time.monotonic())):
            with connection:
                stays = self._serve_connection(connection, self._options.root, self._options.debug)
            self._reap()
            with suppress(OSError):  # the service has ended
                channel.send(_KEEP if stays else _CLOSE)
        return 0

    def _leave_service(self) -> None:
        """Close, in a process that was just forked, what is the service's."""
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        self._poll.close()
        for fd in (self._wakeup, self._wake):
            os.close(fd)
        for worker in self._workers.values():
            worker.channel.close()
            if worker.connection:
                worker.connection.close()
        for other in (*self._listeners.values(), *self._waiting.values()):
            other.close()

    def _drain(self) -> None:
        with suppress(BlockingIOError):
            while os.read(self._wakeup, 4096):
                pass

    def _reap(self) -> None:
        """Workers and relays, and in a worker the shims of containers that have ended."""
        with suppress(ChildProcessError):
            while pid := os.waitpid(-1, os.WNOHANG)[0]:
                self._relays.discard(pid)


def _next_connection(channel: socket.socket, seconds: float) -> socket.socket | None:
    """What the service gives to a worker within so many seconds. None: the worker is to end.

    Before it ends it takes no more, and then looks once more whether something was given just now.
    """
    if not select.select([channel], [], [], max(0.0, seconds))[0]:
        channel.shutdown(socket.SHUT_RD)
    _, fds, _, _ = socket.recv_fds(channel, 1, 1)
    return socket.socket(fileno=fds[0]) if fds else None


def listen(path: Path, group: int) -> socket.socket:
    """A listener at a path, for root and a group alone.

    OSError when the path is taken: by a service that lives, or by what is no socket.
    """
    if path.is_socket():
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            try:
                probe.connect(str(path))
            except ConnectionRefusedError:
                path.unlink(missing_ok=True)  # of a service that was killed
            else:
                raise OSError(errno.EADDRINUSE, "another service listens there", str(path))
    path.parent.mkdir(mode=0o755 if group else 0o700, parents=True, exist_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o117)
    try:
        listener.bind(str(path))
    finally:
        os.umask(before)
    os.chown(path, 0, group)
    listener.listen(BACKLOG)
    return listener
