"""The shim's clients: the command that started the container, and those that attach, wait, or update its network."""

import os
import socket
import struct
from collections.abc import Callable, Iterator

from minirun.engine.protocol import CHUNK, GIVES_STDIN, MOST_FDS, WANTS_OUTPUT, Kind, Outbox, Parser, frame
from minirun.kernel.event_loop import READ, WRITE, Interest, wait_writable
from minirun.kernel.sockets import receive_with_fds


class Client:
    """One connection, with what waits to be sent on it."""

    def __init__(self, channel: socket.socket, outbox: Outbox, parser: Parser) -> None:
        channel.setblocking(False)
        self.channel = channel
        self.outbox = outbox
        self.parser = parser
        self.flags = 0
        self.gone = False
        self.closing = False  # it has been told the end, and is dropped once all of its output is sent
        self.files: list[int] = []  # descriptors that it has sent
        self.changes_ports = self.settled = False  # see port_reservations.py

    @property
    def wants_output(self) -> bool:
        """Whether it gets the program's output."""
        return bool(self.flags & WANTS_OUTPUT)

    @property
    def gives_stdin(self) -> bool:
        """Whether it may send standard input."""
        return bool(self.flags & GIVES_STDIN)


class Clients:
    """All of them, and the listener that they connect to.

    `make_outbox` makes the queue of a new client. `on_message` gets a client's messages, `on_leave` a client that has
    left. `first` is the command that started the container, None after the shim was idle.
    """

    def __init__(
        self,
        first: Client | None,
        listener: socket.socket,
        make_outbox: Callable[[], Outbox],
        on_message: Callable[[Client, Kind, bytes], None],
        on_leave: Callable[[Client], None],
    ) -> None:
        self.first = first
        self._all = [first] if first else []
        self.listener = listener
        self._make_outbox = make_outbox
        self._on_message = on_message
        self._on_leave = on_leave

    def __len__(self) -> int:
        return len(self._all)

    def interests(self, takes_input: bool) -> Iterator[Interest]:
        """What the event loop is to wait for now. Clients that give standard input wait unless `takes_input`."""
        yield self.listener.fileno(), READ, self.accept_all
        for client in self._all:
            if takes_input or not client.gives_stdin:
                yield client.channel.fileno(), READ, lambda client=client: self._receive(client)  # type: ignore[misc]
            if client.outbox:
                yield client.channel.fileno(), WRITE, lambda client=client: self._flush(client)  # type: ignore[misc]

    def output(self, kind: Kind, data: bytes) -> None:
        """Send output of the program to the clients that want it."""
        if any(client.wants_output for client in self._all):
            message = frame(kind, data)
            for client in [client for client in self._all if client.wants_output]:
                self._send(client, message)

    def tell(self, kind: Kind, body: bytes = b"") -> None:
        """Send a message to all clients."""
        for client in list(self._all):
            self._send(client, frame(kind, body))

    def add(self, fd: int, flags: int) -> None:
        """Have a client that waited for the start, with its end of a socket pair."""
        client = Client(socket.socket(fileno=fd), self._make_outbox(), Parser())
        client.flags = flags
        self._all.append(client)

    def dismiss(self) -> None:
        """Drop each client once its output is sent. Does not wait for slow ones; the event loop goes on sending."""
        for client in list(self._all):
            client.closing = True
            self._flush(client)

    def close(self) -> None:
        """Stop listening, and wait until every client has received everything."""
        self.listener.close()
        self.dismiss()
        while self._all:
            wait_writable(self._all[0].channel.fileno())
            self._flush(self._all[0])

    def accept_all(self) -> None:
        """Accept all connections that wait at the listener."""
        while self._accept():
            pass

    def _accept(self) -> bool:
        try:
            channel, _ = self.listener.accept()
        except OSError:  # none waits, it is gone already, or no descriptor is free
            return False
        self._all.append(Client(channel, self._make_outbox(), Parser()))
        return True

    def _receive(self, client: Client) -> None:
        if client.gone:
            return
        try:
            data, files = receive_with_fds(client.channel, CHUNK, MOST_FDS)
            client.files += files
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data or not self._parse(client, data):
            self._drop(client)

    def hear_pending(self, client: Client) -> None:
        """Handle the messages that came in the same read as the plan."""
        self._parse(client, b"")

    def _parse(self, client: Client, data: bytes) -> bool:
        """Handle a client's messages. False when the data is not of the protocol."""
        try:
            for kind, body in client.parser.feed(data):
                if kind is Kind.ATTACH:
                    client.flags = body[0]
                else:
                    self._on_message(client, kind, body)
        except (ValueError, IndexError, struct.error):
            return False
        return True

    def _send(self, client: Client, message: bytes) -> None:
        client.outbox.add(message)
        self._flush(client)

    def _flush(self, client: Client) -> None:
        if client.gone:
            return
        alive = client.outbox.flush(client.channel)
        if not alive or (client.closing and not client.outbox):
            self._drop(client)

    def _drop(self, client: Client) -> None:
        if client.gone:
            return
        client.gone = True
        client.outbox.clear()
        self._all.remove(client)
        self._on_leave(client)
        for fd in client.files:
            os.close(fd)
        client.channel.close()  # last: a command that waits for this finds everything done
