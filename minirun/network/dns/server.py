"""Queries by UDP and TCP, and their replies.

A hostile container must not keep others from their replies: the number of queries and connections that one client may
have under way is bounded; more queries wait, up to a bound, too. Idle connections are closed.
"""

import socket
import sqlite3
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import ip_address

from minirun.kernel.event_loop import READ, WRITE, Interest
from minirun.model import Fault
from minirun.network.dns.message import (
    AAAA,
    ANY,
    MAX_SIZE,
    NOERROR,
    NOTIMP,
    NXDOMAIN,
    PTR,
    REFUSED,
    SERVFAIL,
    A,
    Query,
    encode_name,
    parse_query,
    reply,
    resource_record,
    truncate,
)
from minirun.network.dns.records import Addresses, Client, Records
from minirun.network.dns.upstream import ForwardedQuery, Upstream

_BATCH = 64  # UDP queries read before other sockets have their turn
_MAX_FORWARDED_PER_CLIENT, _MAX_FORWARDED = 64, 512
_MAX_WAITING_PER_CLIENT, _MAX_WAITING = 1024, 8192
_MAX_WAIT = 4.0  # seconds; clients ask again, or give up, after 5 (resolv.conf(5))
_MAX_CONNECTIONS_PER_CLIENT, _MAX_CONNECTIONS = 16, 128
_MAX_TCP_QUERY = 4096  # bytes, with its length
_IDLE_TIMEOUT = 10.0  # seconds
_FAILURES = {"nxdomain": NXDOMAIN, "servfail": SERVFAIL, "refused": REFUSED}

Respond = Callable[[bytes], None]


@dataclass(frozen=True, eq=False)
class _Waiting:
    """A query for which there is no room among the forwarded ones yet.

    until: monotonic seconds after which nobody waits for its reply
    """

    forwarded: ForwardedQuery
    client: Client
    until: float


class DnsServer:
    """The listening sockets and everything under way on them: one part of the event loop (process.py)."""

    def __init__(self, records: Records, udp: socket.socket, tcp: socket.socket) -> None:
        self._records = records
        self._udp = udp
        self._tcp = tcp
        for listener in (udp, tcp):
            listener.setblocking(False)
        self._connections: list[TcpConnection] = []
        self._forwarded: list[ForwardedQuery] = []
        self._forwarded_of: Counter[str] = Counter()  # by sandbox
        self._waiting: dict[str, deque[_Waiting]] = {}  # by sandbox; the first one's turn is next
        self._rotation = 0  # which of several addresses of a name comes first

    def interests(self) -> Iterator[Interest]:
        """Yield the sockets that it waits for (kernel/event_loop.py)."""
        yield self._udp.fileno(), READ, self._read_udp
        if len(self._connections) < _MAX_CONNECTIONS:
            yield self._tcp.fileno(), READ, self._accept
        for connection in self._connections:
            yield from connection.interests()
        for forwarded in self._forwarded:
            yield from forwarded.interests()

    def due(self) -> float | None:
        """Return the seconds until `tick` has to be called; None when nothing can expire."""
        deadlines = [connection.deadline for connection in self._connections]
        deadlines += [forwarded.deadline for forwarded in self._forwarded]
        return max(0.0, min(deadlines) - time.monotonic()) if deadlines else None

    def tick(self) -> None:
        """Handle expired queries and connections and forget finished ones."""
        now = time.monotonic()
        for forwarded in [item for item in self._forwarded if item.deadline <= now and not item.is_finished]:
            forwarded.try_next()
        for connection in [item for item in self._connections if item.deadline <= now]:
            connection.close()
        self._forwarded = [item for item in self._forwarded if not item.is_finished]
        self._forward_waiting()
        self._connections = [item for item in self._connections if not item.is_closed]

    def _read_udp(self) -> None:
        for _ in range(_BATCH):
            try:
                data, sender = self._udp.recvfrom(MAX_SIZE)
            except OSError:  # no more queries, or an error report for an earlier reply
                return
            self._handle(data, sender[0], False, lambda message, sender=sender: self._send_udp(message, sender))  # type: ignore[misc]

    def _send_udp(self, message: bytes, receiver: tuple[str, int]) -> None:
        try:
            self._udp.sendto(message, receiver)
        except OSError:
            pass  # it is gone, or its queue is full and it asks again

    def _accept(self) -> None:
        try:
            channel, sender = self._tcp.accept()
        except OSError:
            return
        same_client = sum(connection.address == sender[0] for connection in self._connections)
        if same_client >= _MAX_CONNECTIONS_PER_CLIENT:
            channel.close()
            return
        self._connections.append(TcpConnection(channel, sender[0], self._handle))

    def _handle(self, data: bytes, address: str, is_tcp: bool, respond: Respond) -> bool:
        """Reply now, or once an upstream server has. Return False when the message is not a query."""
        query = parse_query(data)
        if query is None:
            return False
        client: Client | None = None
        upstreams: tuple[Upstream, ...] = ()
        try:
            client = self._records.client(address)
            fault = self._records.fault(client, query.name) if client else None
            if fault is not None:
                self._reply_falsely(fault, query, MAX_SIZE if is_tcp else None, respond)
                return True
            message = self._own_reply(client, query, MAX_SIZE if is_tcp else None)
            if client and message is None:
                upstreams = self._records.upstreams(client)
        except sqlite3.Error:  # locked or damaged: unknown for now
            message = reply(query, [], SERVFAIL)
        if message is not None or client is None:
            respond(message or reply(query, [], REFUSED))
        else:
            done = self._finisher(client, query, is_tcp, respond)
            forwarded = ForwardedQuery(query, data, upstreams, is_tcp, done)
            if self._has_room(client.sandbox) and client.sandbox not in self._waiting:
                self._forward(forwarded, client)
            elif not self._wait(forwarded, client):
                respond(reply(query, [], REFUSED))
        return True

    def _has_room(self, sandbox: str) -> bool:
        return len(self._forwarded) < _MAX_FORWARDED and self._forwarded_of[sandbox] < _MAX_FORWARDED_PER_CLIENT

    def _wait(self, forwarded: ForwardedQuery, client: Client) -> bool:
        """Return whether it may wait."""
        own = self._waiting.get(client.sandbox, ())
        if len(own) >= _MAX_WAITING_PER_CLIENT or sum(map(len, self._waiting.values())) >= _MAX_WAITING:
            return False
        waiting = _Waiting(forwarded, client, time.monotonic() + _MAX_WAIT)
        self._waiting.setdefault(client.sandbox, deque()).append(waiting)
        return True

    def _forward_waiting(self) -> None:
        """Forward what has waited, one query of each client in turn, as long as there is room."""
        is_any = True
        while is_any:
            is_any = False
            for sandbox, queue in list(self._waiting.items()):
                while queue and queue[0].until <= time.monotonic():
                    queue.popleft()
                if queue and self._has_room(sandbox):
                    is_any = True
                    first = queue.popleft()
                    self._forward(first.forwarded, first.client)
                if not queue:
                    del self._waiting[sandbox]

    def _own_reply(self, client: Client | None, query: Query, limit: int | None) -> bytes | None:
        """The reply from the records; None when upstream servers have to be asked."""
        if client is None:
            return reply(query, [], REFUSED)
        if query.opcode:
            return reply(query, [], NOTIMP)
        if not query.is_internet:
            return None
        addresses = self._records.find(client, query.name)
        if addresses is not None:
            return reply(query, self._address_records(addresses, query.kind), limit=limit)
        name = self._records.find_name(client, query.name)
        if name is None:
            return None
        records = [resource_record(PTR, encode_name(name))] if name and query.kind in (PTR, ANY) else []
        return reply(query, records, NOERROR if name else NXDOMAIN, limit)

    def _reply_falsely(self, fault: Fault, query: Query, limit: int | None, respond: Respond) -> None:
        """Reply as a fault says; a timeout is no reply at all."""
        if fault.failure:
            if fault.failure in _FAILURES:
                respond(reply(query, [], _FAILURES[fault.failure]))
            return
        packed = [ip_address(answer).packed for answer in fault.answers]
        addresses = Addresses(
            tuple(one for one in packed if len(one) == 4), tuple(one for one in packed if len(one) > 4)
        )
        respond(reply(query, self._address_records(addresses, query.kind), limit=limit))

    def _address_records(self, addresses: Addresses, kind: int) -> list[bytes]:
        """A and AAAA records, rotated so that containers that share a name take turns at being first."""
        self._rotation += 1
        records: list[bytes] = []
        for record_kind, packed in ((A, addresses.ipv4), (AAAA, addresses.ipv6)):
            if packed and kind in (record_kind, ANY):
                start = self._rotation % len(packed)
                records += [resource_record(record_kind, address) for address in packed[start:] + packed[:start]]
        return records

    def _forward(self, forwarded: ForwardedQuery, client: Client) -> None:
        self._forwarded_of[client.sandbox] += 1
        self._forwarded.append(forwarded)
        forwarded.try_next()

    def _finisher(self, client: Client, query: Query, is_tcp: bool, respond: Respond) -> Callable[[bytes | None], None]:
        """What to do with the upstream's reply."""

        def done(message: bytes | None) -> None:
            self._forwarded_of[client.sandbox] -= 1
            if not self._forwarded_of[client.sandbox]:
                del self._forwarded_of[client.sandbox]
            if message is None:
                respond(reply(query, [], SERVFAIL))
            else:
                respond(message if is_tcp else truncate(message, query))

        return done


class TcpConnection:
    """A client's connection, with one query at a time: the next is read once the reply is sent.

    handle: takes a message, the client's address, True for TCP and where to send the reply; False refuses the message
    """

    def __init__(
        self, channel: socket.socket, address: str, handle: Callable[[bytes, str, bool, Respond], bool]
    ) -> None:
        channel.setblocking(False)
        self._channel = channel
        self.address = address
        self._handle = handle
        self._incoming = self._outgoing = b""
        self._is_pending = False
        self.is_closed = False
        self.deadline = time.monotonic() + _IDLE_TIMEOUT

    def interests(self) -> Iterator[Interest]:
        """Yield the socket that it waits for, unless a reply is pending."""
        if self._outgoing:
            yield self._channel.fileno(), WRITE, self._write
        elif not self._is_pending and not self.is_closed:
            yield self._channel.fileno(), READ, self._read

    def close(self) -> None:
        """Close the connection; a pending reply is dropped."""
        if not self.is_closed:
            self.is_closed = True
            self._outgoing = b""
            self._channel.close()

    def _read(self) -> None:
        try:
            data = self._channel.recv(_MAX_TCP_QUERY)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            return
        self._incoming += data
        self._handle_next()

    def _handle_next(self) -> None:
        """Each message has its length before it (RFC 1035 section 4.2.2)."""
        if len(self._incoming) < 2:
            return
        end = 2 + int.from_bytes(self._incoming[:2], "big")
        if end > _MAX_TCP_QUERY:
            self.close()
        elif len(self._incoming) >= end:
            message, self._incoming = self._incoming[2:end], self._incoming[end:]
            self._is_pending = True
            self.deadline = time.monotonic() + _IDLE_TIMEOUT
            if not self._handle(message, self.address, True, self._respond):
                self.close()

    def _respond(self, message: bytes) -> None:
        self._is_pending = False
        if not self.is_closed:
            self._outgoing = len(message).to_bytes(2, "big") + message

    def _write(self) -> None:
        try:
            self._outgoing = self._outgoing[self._channel.send(self._outgoing) :]
        except BlockingIOError:
            return
        except OSError:
            self.close()
            return
        if not self._outgoing:
            self._handle_next()
