"""A program's streams on a client's connection: attach and exec, raw for a terminal, else multiplexed.

https://docs.docker.com/reference/api/engine/version/v1.51/#tag/Container/operation/ContainerAttach
"""

import os
import socket
import struct
from collections.abc import Iterator
from typing import Protocol

from minirun.cli.container.attach_session import DetachKeys
from minirun.engine.exec import ExecProcess
from minirun.engine.protocol import CHUNK, HIGH_WATER, Kind, Outbox, Parser, frame
from minirun.kernel import terminal
from minirun.kernel.event_loop import READ, WRITE, Interest, is_ready, turn

RAW = "application/vnd.docker.raw-stream"
MULTIPLEXED = "application/vnd.docker.multiplexed-stream"
STDOUT, STDERR = 1, 2
NUMBERS = {"stdout": STDOUT, "stderr": STDERR}
_HEADER = struct.Struct(">BxxxI")
_FULL_PIPE = 1 << 20


def multiplexed(stream: int, data: bytes) -> bytes:
    """Output of a stream, with Docker's header of eight bytes in front."""
    return _HEADER.pack(stream, len(data)) + data


class ClientStream:
    """The client's connection, once it is no more HTTP.

    is_raw: one stream without headers, as a terminal's is
    wanted: the streams whose output is sent
    stdin: whether what the client sends is the program's input
    """

    def __init__(
        self, sock: socket.socket, behind: bytes, is_raw: bool, wanted: set[int], stdin: bool, detach_keys: bytes = b""
    ) -> None:
        sock.setblocking(False)
        self.socket = sock
        self._is_raw = is_raw
        self._wanted = wanted
        self._keys = DetachKeys(detach_keys)
        self._early = behind
        self.outbox = Outbox()
        self.takes_input = stdin
        self.is_input_open = True
        self.is_gone = False
        self.has_detached = False

    def write(self, stream: int, data: bytes) -> None:
        """Send output, now or when the client takes it."""
        if stream in self._wanted and not self.is_gone:
            self.outbox.add(self._encoded(stream, data))
            self.flush()

    def _encoded(self, stream: int, data: bytes) -> bytes:
        """Output as it is sent."""
        return data if self._is_raw else multiplexed(stream, data)

    def _decoded(self, data: bytes) -> bytes:
        """Input in what has come."""
        return data

    def flush(self) -> None:
        """Send what can be sent now."""
        if not self.outbox.flush(self.socket):
            self.is_gone = True

    @property
    def has_room(self) -> bool:
        """Whether more output may be read: too much waits here otherwise."""
        return len(self.outbox) < HIGH_WATER

    def interests(self, source: "Source") -> Iterator[Interest]:
        """What to wait for on the client's side."""
        if self.is_gone:
            return
        fd = self.socket.fileno()
        if self.outbox:
            yield fd, WRITE, self.flush
        if self.is_input_open and (source.takes_input or not self.takes_input):
            yield fd, READ, lambda: self._read(source)
        else:
            yield fd, 0, self._has_hung_up

    def begin(self, source: "Source") -> None:
        """Pass on what the client had sent with its request."""
        if self._early:
            self._pass(source, self._early)

    def _read(self, source: "Source") -> None:
        try:
            data = self.socket.recv(CHUNK)
        except BlockingIOError:
            return
        except OSError:
            self.is_gone = True
            return
        if data:
            self._pass(source, data)
        else:
            self.is_input_open = False  # the client may still read
            if self.takes_input:
                source.end_input()

    def _pass(self, source: "Source", received: bytes) -> None:
        data = self._decoded(received)
        if self.takes_input:
            passed, self.has_detached = self._keys.feed(data)
            if passed:
                source.give_input(passed)

    def _has_hung_up(self) -> None:
        self.is_gone = True

    def close(self) -> None:
        """Send the rest, and end the connection."""
        self.socket.setblocking(True)
        if not self.is_gone and self.outbox:
            try:
                self.outbox.write_to(self.socket)
            except OSError:
                pass
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


class Source(Protocol):
    """A program's side."""

    @property
    def has_ended(self) -> bool:
        """Whether no more output comes."""

    @property
    def takes_input(self) -> bool:
        """Whether more input may be read from the client."""

    def interests(self, client: ClientStream) -> Iterator[Interest]:
        """What to wait for on the program's side."""

    def give_input(self, data: bytes) -> None:
        """Pass input on."""

    def end_input(self) -> None:
        """The client's input has ended."""


def carry(client: ClientStream, source: Source, stays: bool = False) -> None:
    """Carry the streams until the program has ended, or the client has left or detached. The caller closes its side.

    stays: go on without the client, so that the program isn't held up and its end is seen
    """
    client.begin(source)
    while not source.has_ended and (stays or not client.is_gone):
        turn([*client.interests(source), *source.interests(client)])
        if client.has_detached:
            client.close()
            client.is_gone = True


class ContainerSource:
    """A container's first process, by its shim."""

    def __init__(self, channel: socket.socket) -> None:
        channel.setblocking(False)
        self._channel = channel
        self._parser = Parser()
        self._outbox = Outbox()
        self.has_ended = False

    @property
    def takes_input(self) -> bool:
        """While not too much waits for the shim."""
        return len(self._outbox) < HIGH_WATER

    def interests(self, client: ClientStream) -> Iterator[Interest]:
        """The channel to the shim."""
        if client.has_room:
            yield self._channel.fileno(), READ, lambda: self._receive(client)
        if self._outbox:
            yield self._channel.fileno(), WRITE, lambda: self._flush()

    def give_input(self, data: bytes) -> None:
        """STDIN."""
        self._send(frame(Kind.STDIN, data))

    def end_input(self) -> None:
        """STDIN_END."""
        self._send(frame(Kind.STDIN_END))

    def _send(self, message: bytes) -> None:
        self._outbox.add(message)
        self._flush()

    def _flush(self) -> None:
        self._outbox.flush(self._channel)

    def _receive(self, client: ClientStream) -> None:
        try:
            data = self._channel.recv(CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self.has_ended |= not data
        for kind, body in self._parser.feed(data):
            if kind in (Kind.OUT, Kind.ERR):
                client.write(STDOUT if kind is Kind.OUT else STDERR, body)
            elif kind in (Kind.EXITED, Kind.FAILED):
                self.has_ended = True


class ExecSource:
    """A process of exec, by its pipes or terminal."""

    def __init__(self, joined: ExecProcess, control: "ResizeListener") -> None:
        self._joined = joined
        self._control = control
        self._outbox = Outbox()
        self._is_input_over = False
        self.has_ended = False
        for fd in (joined.stdin, *joined.outputs):
            if fd >= 0:
                os.set_blocking(fd, False)

    @property
    def takes_input(self) -> bool:
        """While not too much waits for the process."""
        return len(self._outbox) < HIGH_WATER

    def interests(self, client: ClientStream) -> Iterator[Interest]:
        """Its end, its outputs, its input, and a new size of its terminal."""
        yield self._joined.pidfd, READ, lambda: self._finish(client)
        for helper in self._joined.helpers[:1]:  # they end together
            yield helper, READ, self._joined.reap_helpers
        yield from self._control.interests(self._joined.terminal)
        if client.has_room or client.is_gone:
            for fd in list(self._joined.outputs):
                yield fd, READ, lambda fd=fd: self._read(fd, client)  # type: ignore[misc]
        if self._outbox and self._joined.stdin >= 0:
            yield self._joined.stdin, WRITE, self._feed

    def give_input(self, data: bytes) -> None:
        """To its standard input."""
        self._outbox.add(data)
        self._feed()

    def end_input(self) -> None:
        """Close its standard input, once it has taken everything. A terminal stays open."""
        self._is_input_over = True
        self._feed()

    def _feed(self) -> None:
        joined = self._joined
        if joined.stdin < 0:
            self._outbox.clear()
            return
        alive = self._outbox.flush(joined.stdin)
        if joined.terminal < 0 and (not alive or (self._is_input_over and not self._outbox)):
            os.close(joined.stdin)
            joined.stdin = -1
            self._outbox.clear()

    def _finish(self, client: ClientStream) -> None:
        """What the process wrote is in the pipes (pipe(7)); what its own children may write later is not waited for."""
        for fd in list(self._joined.outputs):
            for _ in range(_FULL_PIPE // CHUNK):
                if fd in self._joined.outputs and is_ready(fd):
                    self._read(fd, client)
        self.has_ended = True

    def _read(self, fd: int, client: ClientStream) -> None:
        if fd not in self._joined.outputs:  # it has just been read to its end
            return
        try:
            data = os.read(fd, CHUNK)
        except BlockingIOError:
            return
        except OSError:  # EIO: nobody holds the terminal any more
            data = b""
        if data:
            client.write(self._joined.outputs[fd], data)
        else:
            del self._joined.outputs[fd]
            if fd != self._joined.terminal:
                os.close(fd)

    def close(self) -> None:
        """Close what is left of the process: this worker goes on."""
        joined = self._joined
        for fd in {joined.pidfd, joined.stdin, joined.terminal, *joined.outputs} - {-1}:
            os.close(fd)


class ResizeListener:
    """Where another request may say the size of an exec's terminal (RESIZE), while this one carries its streams."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener

    def interests(self, terminal_fd: int) -> Iterator[Interest]:
        """Requests that come."""
        if terminal_fd >= 0:
            yield self._listener.fileno(), READ, lambda: self._accept(terminal_fd)

    def _accept(self, terminal_fd: int) -> None:
        try:
            channel, _ = self._listener.accept()
        except OSError:
            return
        with channel:
            channel.settimeout(1)
            try:
                data = channel.recv(CHUNK)
            except OSError:
                return
            for kind, body in Parser().feed(data):
                if kind is Kind.RESIZE:
                    terminal.set_window_size(terminal_fd, *struct.unpack("HH", body))

    def close(self) -> None:
        """Stop listening."""
        self._listener.close()
