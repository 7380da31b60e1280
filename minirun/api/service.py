"""The service's process: it listens, keeps connections that wait, and forks a process for each request that comes.

It holds nothing of what is asked for. A process serves one connection until that is quiet again, and then gives it
back by ending: the service has kept the socket open. So a slow or stuck client holds up only its own process, a kill
of the service ends no container, and a connection that waits costs a descriptor.
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
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from minirun.api.tls import Relay
from minirun.api.worker import serve_connection
from minirun.kernel import processes

BACKLOG = 4096
_MOST_WORKERS = 512  # more requests at once wait for one of these to end
_MOST_RELAYS = 256  # clients by TLS; more are turned away
_KEEP, _CLOSE = 0, 1  # exit codes of a process: whether the connection stays open


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


class Service:
    """Listeners, the connections that wait for a request, and the processes that serve one."""

    def __init__(self, listeners: list[socket.socket], options: ServiceOptions) -> None:
        self._options = options
        self._listeners = {listener.fileno(): listener for listener in listeners}
        self._waiting: dict[int, socket.socket] = {}  # connections, by descriptor
        self._served: dict[int, socket.socket] = {}  # connections, by the pid of their process
        self._relays: set[int] = set()  # pids
        self._poll = select.epoll()
        self._wakeup, self._wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._used = time.monotonic()
        self._is_ending = False

    def serve(self) -> None:
        """Serve until the service is idle or told to end. Processes that still serve then go on by themselves."""
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._end)
        signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)
        self._poll.register(self._wakeup, select.EPOLLIN)
        for fd, listener in self._listeners.items():
            listener.setblocking(False)
            self._poll.register(fd, select.EPOLLIN)
        gc.collect()
        gc.freeze()  # a collection in a process would write to, and so copy, every page
        while not self._is_ending and not self._is_idle():
            for fd, _ in self._poll.poll(self._patience()):
                if fd == self._wakeup:
                    self._drain()
                elif fd in self._listeners:
                    self._accept(self._listeners[fd])
                else:
                    self._fork(self._waiting.pop(fd))
            self._reap()

    def _end(self, *_: object) -> None:
        self._is_ending = True

    def _is_idle(self) -> bool:
        limit = self._options.idle_time
        return bool(limit) and not self._served and not self._waiting and time.monotonic() - self._used >= limit

    def _patience(self) -> float | None:
        """Seconds until it may be idle."""
        if not self._options.idle_time or self._served or self._waiting:
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

    def _fork(self, connection: socket.socket) -> None:
        """Have a process serve a connection that has something to read, if only its end."""
        self._poll.unregister(connection.fileno())
        if self._has_ended(connection):
            connection.close()
            self._used = time.monotonic()
            return
        while len(self._served) >= _MOST_WORKERS:
            self._wait_for_worker()
        pid = processes.fork(lambda: self._serve(connection), traceback.print_exception)
        self._served[pid] = connection

    @staticmethod
    def _has_ended(connection: socket.socket) -> bool:
        """Whether the client has closed it: no process is needed for that."""
        try:
            return not connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            return True

    def _serve(self, connection: socket.socket) -> int:
        """In the process."""
        self._leave_service()
        connection.setblocking(True)
        return _KEEP if serve_connection(connection, self._options.root, self._options.debug) else _CLOSE

    def _leave_service(self) -> None:
        """Close, in a process that was just forked, what is the service's; its own connection is in none of these."""
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        self._poll.close()
        for fd in (self._wakeup, self._wake):
            os.close(fd)
        for other in (*self._listeners.values(), *self._waiting.values(), *self._served.values()):
            other.close()

    def _drain(self) -> None:
        with suppress(BlockingIOError):
            while os.read(self._wakeup, 4096):
                pass

    def _wait_for_worker(self) -> None:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
        self._reap()

    def _reap(self) -> None:
        while self._served or self._relays:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self._relays.discard(pid)
            connection = self._served.pop(pid, None)
            if connection is None:
                continue
            self._used = time.monotonic()
            if os.waitstatus_to_exitcode(status) == _KEEP:
                self._wait(connection)
            else:
                connection.close()


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
