"""Asking others: the resolvers of the host, or those that a container was given with --dns.

The question is passed on as it came, under a number of our own and from a port of its own; only an answer that has
both, and the same question in it, counts. A server that does not answer in time, or says that it cannot, is followed by
the next one.
"""

import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from minirun.kernel.event_loop import READ, WRITE, Interest
from minirun.kernel.netns import entered
from minirun.network.dns.message import REFUSED, SERVFAIL, Query, code_of, is_reply, renumbered

_PATIENCE = 2.0  # seconds for each server
_MOST_SERVERS = 3  # as resolv.conf(5)
_PORT = 53


@dataclass(frozen=True)
class Server:
    address: str
    namespace: str = ""  # the pinned one that it is asked from; "": the host's


class HostServers:
    """The host's resolvers, as its resolv.conf has them now."""

    def __init__(self, path: Path = Path("/etc/resolv.conf")) -> None:
        self._path = path
        self._mark: tuple[int, ...] = ()
        self._servers: tuple[Server, ...] = ()

    def now(self) -> tuple[Server, ...]:
        try:
            stat = self._path.stat()
            mark = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
            if mark != self._mark:
                self._servers = _nameservers(self._path.read_text(errors="replace"))
                self._mark = mark
        except OSError:
            self._servers, self._mark = (), ()
        return self._servers or (Server("127.0.0.1"),)  # what the host itself would ask then


def _nameservers(text: str) -> tuple[Server, ...]:
    found = []
    for words in map(str.split, text.splitlines()):
        if len(words) > 1 and words[0] == "nameserver":
            with suppress(ValueError):
                ip_address(words[1])
                found.append(Server(words[1]))
    return tuple(found[:_MOST_SERVERS])


class Exchange:
    """One question on its way through the servers. `done` is told what the client is to be told, None: nobody knew."""

    def __init__(
        self, query: Query, data: bytes, servers: tuple[Server, ...], stream: bool, done: Callable[[bytes | None], None]
    ) -> None:
        self._query = query
        self._data = data
        self._servers = list(servers[:_MOST_SERVERS])
        self._stream = stream
        self._done = done
        self._socket: socket.socket | None = None
        self._failure: bytes | None = None
        self._number = 0
        self._outgoing = self._incoming = b""
        self.deadline = 0.0
        self.over = False

    def begin(self) -> None:
        """On to the next server."""
        self.close()
        while self._servers:
            server = self._servers.pop(0)
            try:
                self._ask(server)
                return
            except OSError:  # no route, no such namespace (any more), no descriptor free
                self.close()
        self._finish(self._failure)

    def _ask(self, server: Server) -> None:
        self._number = int.from_bytes(os.urandom(2), "big")
        message = renumbered(self._data, self._number)
        self._outgoing = len(message).to_bytes(2, "big") + message if self._stream else message
        self._incoming = b""
        self.deadline = time.monotonic() + _PATIENCE
        self._socket = _open(server, self._stream)
        if not self._stream:
            self._socket.send(self._outgoing)
            self._outgoing = b""

    def interests(self) -> Iterator[Interest]:
        if self._socket is not None:
            yield self._socket.fileno(), WRITE if self._outgoing else READ, self._go_on

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _go_on(self) -> None:
        if self._socket is None:
            return
        try:
            if self._outgoing:
                self._outgoing = self._outgoing[self._socket.send(self._outgoing) :]
                return
            data = self._socket.recv(65537)
        except BlockingIOError:
            return
        except OSError:  # refused
            self.begin()
            return
        if not self._stream:
            self._judge(data)
        elif data:
            self._incoming += data
            if len(self._incoming) >= 2 + int.from_bytes(self._incoming[:2], "big"):
                self._judge(self._incoming[2:])
        else:
            self.begin()

    def _judge(self, data: bytes) -> None:
        if not is_reply(data, self._number, self._query):
            if self._stream:
                self.begin()
            return  # not the answer: somebody guesses; the true one may still come
        told = renumbered(data, self._query.number)
        if code_of(data) in (SERVFAIL, REFUSED):
            self._failure = told
            self.begin()
        else:
            self._finish(told)

    def _finish(self, told: bytes | None) -> None:
        self.close()
        self.over = True
        self._done(told)


def _open(server: Server, stream: bool) -> socket.socket:
    if server.namespace:
        with entered(server.namespace):
            return _connect(server.address, stream)
    return _connect(server.address, stream)


def _connect(address: str, stream: bool) -> socket.socket:
    host, _, link = address.partition("%")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    kind = socket.SOCK_STREAM if stream else socket.SOCK_DGRAM
    made = socket.socket(family, kind | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    where = (host, _PORT, 0, socket.if_nametoindex(link)) if link else (host, _PORT)
    try:
        made.connect(where)
    except BlockingIOError:
        pass  # a stream: under way
    except BaseException:
        made.close()
        raise
    return made
