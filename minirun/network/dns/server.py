"""Questions by UDP and TCP, and their answers. A hostile container must not keep the others from theirs: what one may
have under way is bounded, and a connection that says nothing is closed."""

import socket
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterator

from minirun.kernel.event_loop import READ, WRITE, Interest
from minirun.network.dns.message import (
    AAAA,
    ANY,
    LARGEST,
    NOTIMP,
    NXDOMAIN,
    PTR,
    REFUSED,
    SERVFAIL,
    A,
    Query,
    answer,
    encoded_name,
    fitted,
    parse,
    record,
)
from minirun.network.dns.records import Addresses, Asker, Directory
from minirun.network.dns.upstream import Exchange

_AT_ONCE = 64  # questions read before others have their turn
_MOST_OF_ONE, _MOST = 64, 512  # questions that others are asked, of one sandbox and together
_MOST_CLIENTS_OF_ONE, _MOST_CLIENTS = 16, 128  # connections
_LONGEST = 4096  # bytes of a question by TCP
_IDLE = 10.0  # seconds after which a connection is closed


class Service:
    """One part of the process (process.py): the sockets on which containers ask."""

    def __init__(self, directory: Directory, datagrams: socket.socket, listener: socket.socket) -> None:
        self._directory = directory
        self._datagrams = datagrams
        self._listener = listener
        for one in (datagrams, listener):
            one.setblocking(False)
        self._clients: list[Client] = []
        self._exchanges: list[Exchange] = []
        self._asking: Counter[str] = Counter()
        self._turn = 0  # of those that share a name

    def interests(self) -> Iterator[Interest]:
        yield self._datagrams.fileno(), READ, self._read_datagrams
        if len(self._clients) < _MOST_CLIENTS:
            yield self._listener.fileno(), READ, self._accept
        for client in self._clients:
            yield from client.interests()
        for exchange in self._exchanges:
            yield from exchange.interests()

    def due(self) -> float | None:
        """Seconds until `tick` wants to be called."""
        deadlines = [*(one.deadline for one in self._clients), *(one.deadline for one in self._exchanges)]
        return max(0.0, min(deadlines) - time.monotonic()) if deadlines else None

    def tick(self) -> None:
        now = time.monotonic()
        for exchange in [one for one in self._exchanges if one.deadline <= now and not one.over]:
            exchange.begin()
        for client in [one for one in self._clients if one.deadline <= now]:
            client.close()
        self._exchanges = [one for one in self._exchanges if not one.over]
        self._clients = [one for one in self._clients if not one.gone]

    def _read_datagrams(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                data, where = self._datagrams.recvfrom(LARGEST)
            except OSError:  # nothing (more) there, or an error report for an earlier answer
                return
            self._take(data, where[0], False, lambda told, where=where: self._send(told, where))  # type: ignore[misc]

    def _send(self, told: bytes, where: tuple[str, int]) -> None:
        try:
            self._datagrams.sendto(told, where)
        except OSError:
            pass  # gone, or its queue is full: it asks again

    def _accept(self) -> None:
        try:
            channel, where = self._listener.accept()
        except OSError:
            return
        same = sum(client.address == where[0] for client in self._clients)
        if same >= _MOST_CLIENTS_OF_ONE:
            channel.close()
            return
        self._clients.append(Client(channel, where[0], self._take))

    def _take(self, data: bytes, address: str, stream: bool, reply: Callable[[bytes], None]) -> bool:
        """Answer now, or once somebody else has. False when it was no question."""
        query = parse(data)
        if query is None:
            return False
        self._take_query(query, data, address, stream, reply)
        return True

    def _take_query(
        self, query: Query, data: bytes, address: str, stream: bool, reply: Callable[[bytes], None]
    ) -> None:
        limit = LARGEST if stream else None
        try:
            asker = self._directory.asker(address)
            told = self._answer(asker, query, limit)
            servers = self._directory.servers(asker) if asker and told is None else ()
        except sqlite3.Error:  # locked, damaged: it cannot be told now
            asker, told, servers = None, answer(query, [], SERVFAIL), ()
        if told is not None or asker is None:
            reply(told or answer(query, [], REFUSED))
            return
        if len(self._exchanges) >= _MOST or self._asking[asker.sandbox] >= _MOST_OF_ONE:
            reply(answer(query, [], REFUSED))
            return
        self._forward(Exchange(query, data, servers, stream, self._passing(asker, query, stream, reply)), asker)

    def _answer(self, asker: Asker | None, query: Query, limit: int | None) -> bytes | None:
        """None: others have to be asked."""
        if asker is None:
            return answer(query, [], REFUSED)
        if query.opcode:
            return answer(query, [], NOTIMP)
        if not query.is_internet:
            return None
        found = self._directory.find(asker, query.name)
        if found is not None:
            return answer(query, self._records(found, query.kind), limit=limit)
        name = self._directory.find_name(asker, query.name)
        if name is None:
            return None
        records = [record(PTR, encoded_name(name))] if name and query.kind in (PTR, ANY) else []
        return answer(query, records, 0 if name else NXDOMAIN, limit)

    def _records(self, found: Addresses, kind: int) -> list[bytes]:
        """Those who share a name take turns at being first."""
        self._turn += 1
        records: list[bytes] = []
        for mine, addresses in ((A, found.ipv4), (AAAA, found.ipv6)):
            if addresses and kind in (mine, ANY):
                at = self._turn % len(addresses)
                records += [record(mine, one) for one in addresses[at:] + addresses[:at]]
        return records

    def _passing(
        self, asker: Asker, query: Query, stream: bool, reply: Callable[[bytes], None]
    ) -> Callable[[bytes | None], None]:
        def done(told: bytes | None) -> None:
            self._asking[asker.sandbox] -= 1
            if not self._asking[asker.sandbox]:
                del self._asking[asker.sandbox]
            if told is None:
                reply(answer(query, [], SERVFAIL))
            else:
                reply(told if stream else fitted(told, query))

        return done

    def _forward(self, exchange: Exchange, asker: Asker) -> None:
        self._asking[asker.sandbox] += 1
        self._exchanges.append(exchange)
        exchange.begin()


class Client:
    """A connection, with one question at a time: the next is read when the answer is away."""

    def __init__(
        self,
        channel: socket.socket,
        address: str,
        take: Callable[[bytes, str, bool, Callable[[bytes], None]], bool],
    ) -> None:
        channel.setblocking(False)
        self._channel = channel
        self.address = address
        self._take = take
        self._incoming = self._outgoing = b""
        self._waiting = False
        self.gone = False
        self.deadline = time.monotonic() + _IDLE

    def interests(self) -> Iterator[Interest]:
        if self._outgoing:
            yield self._channel.fileno(), WRITE, self._write
        elif not self._waiting and not self.gone:
            yield self._channel.fileno(), READ, self._read

    def close(self) -> None:
        if not self.gone:
            self.gone = True
            self._outgoing = b""
            self._channel.close()

    def _read(self) -> None:
        try:
            data = self._channel.recv(_LONGEST)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            return
        self._incoming += data
        self._next()

    def _next(self) -> None:
        if len(self._incoming) < 2:
            return
        end = 2 + int.from_bytes(self._incoming[:2], "big")
        if end > _LONGEST:
            self.close()
        elif len(self._incoming) >= end:
            message, self._incoming = self._incoming[2:end], self._incoming[end:]
            self._waiting = True
            self.deadline = time.monotonic() + _IDLE
            if not self._take(message, self.address, True, self._answered):
                self.close()

    def _answered(self, told: bytes) -> None:
        self._waiting = False
        if not self.gone:
            self._outgoing = len(told).to_bytes(2, "big") + told

    def _write(self) -> None:
        try:
            self._outgoing = self._outgoing[self._channel.send(self._outgoing) :]
        except BlockingIOError:
            return
        except OSError:
            self.close()
            return
        if not self._outgoing:
            self._next()
