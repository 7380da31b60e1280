"""Who looks on: the command that started the container, and whoever attached or waits."""

import os
import socket
import struct
from collections.abc import Callable, Iterator

from minirun.engine.protocol import CHUNK, GIVES_STDIN, MOST_FDS, WANTS_OUTPUT, Kind, Outbox, Parser, frame
from minirun.kernel.event_loop import READ, WRITE, Interest, wait_writable
from minirun.kernel.sockets import receive_with_fds


class Client:
    def __init__(self, channel: socket.socket, outbox: Outbox, parser: Parser) -> None:
        channel.setblocking(False)
        self.channel = channel
        self.outbox = outbox
        self.parser = parser
        self.flags = 0
        self.gone = False
        self.leaving = False  # it has heard the end, and goes once it has all before that
        self.files: list[int] = []  # that it has sent
        self.changes_ports = self.settled = False

    @property
    def wants_output(self) -> bool:
        return bool(self.flags & WANTS_OUTPUT)

    @property
    def gives_stdin(self) -> bool:
        return bool(self.flags & GIVES_STDIN)


class Clients:
    """`obey` is told what a client says, `left` that it went."""

    def __init__(
        self,
        first: Client | None,
        listener: socket.socket,
        make_outbox: Callable[[], Outbox],
        obey: Callable[[Client, Kind, bytes], None],
        left: Callable[[Client], None],
    ) -> None:
        self.first = first
        self._all = [first] if first else []
        self.listener = listener
        self._make_outbox = make_outbox
        self._obey = obey
        self._left = left

    def __len__(self) -> int:
        return len(self._all)

    def interests(self, takes_input: bool) -> Iterator[Interest]:
        yield self.listener.fileno(), READ, self.accept_all
        for client in self._all:
            if takes_input or not client.gives_stdin:
                yield client.channel.fileno(), READ, lambda client=client: self._hear(client)  # type: ignore[misc]
            if client.outbox:
                yield client.channel.fileno(), WRITE, lambda client=client: self._flush(client)  # type: ignore[misc]

    def output(self, kind: Kind, data: bytes) -> None:
        if any(client.wants_output for client in self._all):
            piece = frame(kind, data)
            for client in [client for client in self._all if client.wants_output]:
                self._send(client, piece)

    def tell(self, kind: Kind, body: bytes = b"") -> None:
        for client in list(self._all):
            self._send(client, frame(kind, body))

    def dismiss(self) -> None:
        """All have heard the end. Whoever is slow goes later: the loop need not wait."""
        for client in list(self._all):
            client.leaving = True
            self._flush(client)

    def close(self) -> None:
        """Wait until each has all of it."""
        self.listener.close()
        self.dismiss()
        while self._all:
            wait_writable(self._all[0].channel.fileno())
            self._flush(self._all[0])

    def accept_all(self) -> None:
        while self._accept():
            pass

    def _accept(self) -> bool:
        try:
            channel, _ = self.listener.accept()
        except OSError:  # nobody there, gone again, or no descriptor free
            return False
        self._all.append(Client(channel, self._make_outbox(), Parser()))
        return True

    def _hear(self, client: Client) -> None:
        if client.gone:
            return
        try:
            data, files = receive_with_fds(client.channel, CHUNK, MOST_FDS)
            client.files += files
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data or not self._heard(client, data):
            self._drop(client)

    def hear_pending(self, client: Client) -> None:
        """What came in the same read as the plan."""
        self._heard(client, b"")

    def _heard(self, client: Client, data: bytes) -> bool:
        """False when it is not our language."""
        try:
            for kind, body in client.parser.feed(data):
                if kind is Kind.ATTACH:
                    client.flags = body[0]
                else:
                    self._obey(client, kind, body)
        except (ValueError, IndexError, struct.error):
            return False
        return True

    def _send(self, client: Client, piece: bytes) -> None:
        client.outbox.add(piece)
        self._flush(client)

    def _flush(self, client: Client) -> None:
        if client.gone:
            return
        alive = client.outbox.flush(client.channel)
        if not alive or (client.leaving and not client.outbox):
            self._drop(client)

    def _drop(self, client: Client) -> None:
        if client.gone:
            return
        client.gone = True
        client.outbox.clear()
        self._all.remove(client)
        self._left(client)
        for fd in client.files:
            os.close(fd)
        client.channel.close()  # last: whoever waits for it finds all done
