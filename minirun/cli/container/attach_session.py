"""The command's end of a running container: its streams, the terminal, the signals (Docker's sig-proxy)."""

import os
import signal
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from minirun.cli.container.streams import PROXIED, Interrupts, SignalPipe, Sink, drain
from minirun.cli.output.lost import OutputError
from minirun.engine.protocol import CHUNK, GIVES_STDIN, HIGH_WATER, WANTS_OUTPUT, Kind, Outbox, Parser, frame
from minirun.errors import MinirunError
from minirun.kernel import terminal
from minirun.kernel.event_loop import READ, WRITE, Interest, turn
from minirun.kernel.sockets import receive_until_end


@dataclass(frozen=True)
class Outcome:
    """How it ended: the program's exit code, or why it never ran (text not empty)."""

    code: int
    text: str = ""


GONE = Outcome(-1)
DETACHED = Outcome(-2)  # the user typed the detach keys
CUT_OFF = Outcome(-3)  # the reader of our output has left
LEFT = Outcome(1)  # the user has interrupted it often enough


@dataclass(frozen=True)
class Manner:
    """What an attached command does with its own side."""

    output: bool = True
    only: str = ""  # stdout or stderr, when the other is not wanted
    stdin: bool = False
    tty: bool = False
    proxy: bool = True  # pass signals on
    detach_keys: bytes = b"\x10\x11"
    name: str = ""  # of the container, for hints
    end_with_reader: bool = False  # nobody else could want it (--rm): end the program when our reader leaves

    @property
    def flags(self) -> int:
        """The flags of an ATTACH message."""
        return (WANTS_OUTPUT if self.output else 0) | (GIVES_STDIN if self.stdin else 0)


class Attachment:
    """Carries streams until the shim says how it ended."""

    def __init__(self, channel: socket.socket, manner: Manner, on_started: Callable[[], None] = lambda: None) -> None:
        self.on_started = on_started
        self.channel = channel
        self.manner = manner
        self.parser = Parser()
        self.outbox = Outbox()
        self.sinks = {Kind.OUT: Sink(1), Kind.ERR: Sink(2)} if manner.output else {}
        self.keys = DetachKeys(manner.detach_keys if manner.tty else b"")
        self.stdin_open = manner.stdin
        self.reader_gone = False
        self.lost: OutputError | None = None  # why our output could not be written
        self.interrupts = Interrupts(
            "the program has not ended: as pid 1 it ignores signals that it does not handle (`run --init` helps)."
            f" Ctrl-C twice more leaves it; `minirun stop {manner.name}` in another terminal ends it."
        )
        self.outcome: Outcome | None = None

    def join(self) -> None:
        """Say what is wanted: for a channel that was connected, not inherited. A program redraws on a resize."""
        self.send(Kind.ATTACH, bytes([self.manner.flags]))
        if self.manner.tty and (size := terminal.size_of_caller()) != (0, 0):
            self.send(Kind.RESIZE, struct.pack("HH", size[0] + 1, size[1]))
            self.send(Kind.RESIZE, struct.pack("HH", *size))

    def until_started(self) -> Outcome | None:
        """For -d: None once the program runs."""
        while True:
            data = receive_until_end(self.channel, CHUNK)
            if not data:
                return GONE
            for kind, body in self.parser.feed(data):
                if kind is Kind.STARTED:
                    return None
                if kind in (Kind.FAILED, Kind.EXITED):
                    return None if kind is Kind.EXITED else _outcome(kind, body)

    def until_ended(self) -> Outcome:
        """For wait: only how it ends."""
        while True:
            data = receive_until_end(self.channel, CHUNK)
            for kind, body in self.parser.feed(data):
                if kind in (Kind.FAILED, Kind.EXITED):
                    return _outcome(kind, body)
            if not data:
                return GONE

    def run(self) -> Outcome:
        """Carry the streams. Returns how it ended."""
        signals = SignalPipe([*PROXIED, signal.SIGWINCH] if self.manner.proxy else [signal.SIGWINCH])
        self.channel.setblocking(False)
        with self._terminal():
            while self.outcome is None:
                turn(self._interests(signals), self.interrupts.due())
                self.interrupts.tick()
            if self.outcome is not DETACHED and self.outcome is not LEFT:
                drain(list(self.sinks.values()), signals)
        if self.lost:  # only now: a shim that cannot write to us any more reads nothing from us either
            raise self.lost
        return CUT_OFF if self.reader_gone else self.outcome

    def _terminal(self) -> AbstractContextManager[None]:
        raw = self.manner.tty and self.stdin_open and os.isatty(0)
        return terminal.raw_mode(0) if raw else nullcontext()

    def _interests(self, signals: SignalPipe) -> Iterator[Interest]:
        if all(len(sink) < HIGH_WATER for sink in self.sinks.values()):
            yield self.channel.fileno(), READ, self._receive
        for kind, sink in self.sinks.items():
            if sink:
                yield sink.fd, WRITE, lambda kind=kind: self._write(kind)  # type: ignore[misc]
        yield signals.fd, READ, lambda: self._signals(signals)
        if self.outbox:
            yield self.channel.fileno(), WRITE, self._flush
        if self.stdin_open and len(self.outbox) < HIGH_WATER:
            yield 0, READ, self._read_stdin

    def _signals(self, signals: SignalPipe) -> None:
        for number in signals.read():
            if number != signal.SIGWINCH:
                self.send(Kind.SIGNAL, bytes([number]))
                if self.interrupts.leaves(number):
                    self.outcome = LEFT
            elif self.manner.tty:
                self.send(Kind.RESIZE, struct.pack("HH", *terminal.size_of_caller()))

    def _flush(self) -> None:
        self.outbox.flush(self.channel)

    def _receive(self) -> None:
        try:
            data = self.channel.recv(CHUNK)
        except BlockingIOError:
            return
        except ConnectionError:
            data = b""
        if not data:
            self.outcome = self.outcome or GONE
        for kind, body in self.parser.feed(data):
            if kind in (Kind.OUT, Kind.ERR):
                if self.manner.only in ("", "stdout" if kind is Kind.OUT else "stderr"):
                    self._write(kind, body)
            elif kind is Kind.STARTED:
                self.on_started()
            elif kind is Kind.LOST:
                self._write(Kind.ERR, b"minirun: " + body + b"\n")
            elif kind in (Kind.EXITED, Kind.FAILED):
                self.outcome = _outcome(kind, body)

    def _write(self, kind: Kind, data: bytes = b"") -> None:
        """A reader that leaves (`| head -1`) ends the command, as SIGPIPE would.

        So does a full disk. The container goes on, as under Docker: its log has it all. One with --rm has nobody left
        who could want it, and is ended instead of filling the disk in secret.
        """
        try:
            if not self.reader_gone:
                self.sinks[kind].write(data)
        except (OutputError, BrokenPipeError) as error:
            if not self.manner.end_with_reader:
                raise
            self.lost = error if isinstance(error, OutputError) else None
            self.reader_gone = True
            self.sinks[kind].clear()
            self.send(Kind.SIGNAL, bytes([signal.SIGKILL]))

    def _read_stdin(self) -> None:
        try:
            data = os.read(0, CHUNK)
        except OSError:
            data = b""
        if not data:
            self.stdin_open = False
            self.send(Kind.STDIN_END)
            return
        passed, detached = self.keys.feed(data)
        if passed:
            self.send(Kind.STDIN, passed)
        if detached:
            self.outcome = DETACHED

    def send(self, kind: Kind, body: bytes = b"") -> None:
        """Queue a message to the shim."""
        self.outbox.add(frame(kind, body))
        self.outbox.flush(self.channel)


class DetachKeys:
    """Looks for the detach sequence in what is typed; what only began like it is passed on."""

    def __init__(self, sequence: bytes) -> None:
        self._sequence = sequence
        self._seen = 0

    def feed(self, data: bytes) -> tuple[bytes, bool]:
        """(what to pass on, whether the sequence is complete)."""
        if not self._sequence:
            return data, False
        passed = bytearray()
        for byte in data:
            if byte == self._sequence[self._seen]:
                self._seen += 1
                if self._seen == len(self._sequence):
                    return bytes(passed), True
                continue
            passed += self._sequence[: self._seen]
            self._seen = 1 if byte == self._sequence[0] else 0
            if not self._seen:
                passed.append(byte)
        return bytes(passed), False


def parse_detach_keys(text: str) -> bytes:
    """`ctrl-p,ctrl-q`: letters, or ctrl- with a letter or one of @ [ \\ ] ^ _."""
    found = bytearray()
    for word in text.split(",") if text else []:
        key = word[5:].lower() if word.lower().startswith("ctrl-") else ""
        if len(word) == 1 and word.isascii():
            found.append(ord(word))
        elif len(key) == 1 and ("a" <= key <= "z" or key in "@[\\]^_"):
            found.append(ord(key.upper()) & 0x1F)
        else:
            raise MinirunError(f"invalid detach keys ({text}): Unknown character: '{word}'", "such as ctrl-p,ctrl-q")
    return bytes(found) or b"\x10\x11"


def _outcome(kind: Kind, body: bytes) -> Outcome:
    return Outcome(body[0], body[1:].decode("utf-8", "replace") if kind is Kind.FAILED else "")
