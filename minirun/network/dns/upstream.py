"""Queries to other DNS servers: the host's resolvers, or those that a container was given with --dns.

A query is forwarded as it came, but with a random id and from a port of its own; only a reply to that port, with that
id and the same question, counts. When a server does not answer in time or fails, the next one is tried.
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
from minirun.network.dns.message import MAX_SIZE, REFUSED, SERVFAIL, Query, is_reply, response_code, with_id

_TIMEOUT = 2.0  # seconds for each server
_MAX_SERVERS = 3  # MAXNS of resolv.conf(5)
_PORT = 53


@dataclass(frozen=True)
class Upstream:
    """Another DNS server.

    address: IP address, with %interface for a link-local one
    namespace: the pinned network namespace that it is queried from; "" for the host's
    """

    address: str
    namespace: str = ""


class HostResolvers:
    """The host's resolvers, as its resolv.conf has them now."""

    def __init__(self, path: Path = Path("/etc/resolv.conf")) -> None:
        self._path = path
        self._version: tuple[int, ...] = ()
        self._upstreams: tuple[Upstream, ...] = ()

    def current(self) -> tuple[Upstream, ...]:
        """Return them, read again only when the file has changed; 127.0.0.1 when there are none (resolv.conf(5))."""
        try:
            stat = self._path.stat()
            version = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
            if version != self._version:
                self._upstreams = _nameservers(self._path.read_text(errors="replace"))
                self._version = version
        except OSError:
            self._upstreams, self._version = (), ()
        return self._upstreams or (Upstream("127.0.0.1"),)


def _nameservers(text: str) -> tuple[Upstream, ...]:
    upstreams = []
    for words in map(str.split, text.splitlines()):
        if len(words) > 1 and words[0] == "nameserver":
            with suppress(ValueError):
                ip_address(words[1])
                upstreams.append(Upstream(words[1]))
    return tuple(upstreams[:_MAX_SERVERS])


class ForwardedQuery:
    """One query on its way through the upstream servers.

    query, data: the client's query, parsed and as bytes
    use_tcp: query by TCP, as the client did
    done: is called once, with the reply for the client, or None when no server answered
    deadline: monotonic seconds after which `try_next` has to be called
    """

    def __init__(
        self,
        query: Query,
        data: bytes,
        upstreams: tuple[Upstream, ...],
        use_tcp: bool,
        done: Callable[[bytes | None], None],
    ) -> None:
        self._query = query
        self._data = data
        self._upstreams = list(upstreams[:_MAX_SERVERS])
        self._use_tcp = use_tcp
        self._done = done
        self._socket: socket.socket | None = None
        self._failure: bytes | None = None
        self._id = 0
        self._outgoing = self._incoming = b""
        self.deadline = 0.0
        self.is_finished = False

    def try_next(self) -> None:
        """Send the query to the next server, or finish when there is none left."""
        self._close()
        while self._upstreams:
            upstream = self._upstreams.pop(0)
            try:
                self._send(upstream)
                return
            except OSError:  # no route, the namespace is gone, no free descriptor
                self._close()
        self._finish(self._failure)

    def interests(self) -> Iterator[Interest]:
        """Yield the socket that it waits for (kernel/event_loop.py)."""
        if self._socket is not None:
            yield self._socket.fileno(), WRITE if self._outgoing else READ, self._on_ready

    def _send(self, upstream: Upstream) -> None:
        self._id = int.from_bytes(os.urandom(2), "big")
        message = with_id(self._data, self._id)
        self._outgoing = len(message).to_bytes(2, "big") + message if self._use_tcp else message
        self._incoming = b""
        self.deadline = time.monotonic() + _TIMEOUT
        self._socket = _open(upstream, self._use_tcp)
        if not self._use_tcp:
            self._socket.send(self._outgoing)
            self._outgoing = b""

    def _close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _on_ready(self) -> None:
        if self._socket is None:
            return
        try:
            if self._outgoing:
                self._outgoing = self._outgoing[self._socket.send(self._outgoing) :]
                return
            data = self._socket.recv(2 + MAX_SIZE)
        except BlockingIOError:
            return
        except OSError:  # connection refused
            self.try_next()
            return
        if not self._use_tcp:
            self._receive(data)
        elif data:
            self._incoming += data
            if len(self._incoming) >= 2 + int.from_bytes(self._incoming[:2], "big"):
                self._receive(self._incoming[2:])
        else:
            self.try_next()

    def _receive(self, data: bytes) -> None:
        if not is_reply(data, self._id, self._query):
            if self._use_tcp:
                self.try_next()
            return  # a guessed reply by UDP; the genuine one may still come
        reply = with_id(data, self._query.id)
        if response_code(data) in (SERVFAIL, REFUSED):
            self._failure = reply
            self.try_next()
        else:
            self._finish(reply)

    def _finish(self, reply: bytes | None) -> None:
        self._close()
        self.is_finished = True
        self._done(reply)


def _open(upstream: Upstream, use_tcp: bool) -> socket.socket:
    if upstream.namespace:
        with entered(upstream.namespace):
            return _connect(upstream.address, use_tcp)
    return _connect(upstream.address, use_tcp)


def _connect(address: str, use_tcp: bool) -> socket.socket:
    host, _, interface = address.partition("%")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    kind = socket.SOCK_STREAM if use_tcp else socket.SOCK_DGRAM
    connection = socket.socket(family, kind | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    destination = (host, _PORT, 0, socket.if_nametoindex(interface)) if interface else (host, _PORT)
    try:
        connection.connect(destination)
    except BlockingIOError:
        pass  # TCP: the handshake is under way
    except BaseException:
        connection.close()
        raise
    return connection
