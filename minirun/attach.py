"""The command's end of a running container: its streams, the terminal, the signals (Docker's sig-proxy)."""

import os
import select
import signal
import socket
import struct
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from minirun.kernel import terminal
from minirun.wire import CHUNK, HIGH_WATER, Kind, Outbox, Parser, frame

# Everything but what cannot be caught, what the terminal needs, and what a bug here would raise.
PROXIED = [
    signal.Signals(number)
    for number in signal.valid_signals()
    if number < 32
    and number
    not in (
        signal.SIGKILL,
        signal.SIGSTOP,
        signal.SIGCHLD,
        signal.SIGPIPE,
        signal.SIGTSTP,
        signal.SIGTTIN,
        signal.SIGTTOU,
        signal.SIGCONT,
        signal.SIGURG,
        signal.SIGSEGV,
        signal.SIGBUS,
        signal.SIGFPE,
        signal.SIGILL,
        signal.SIGTRAP,
        signal.SIGABRT,
        signal.SIGSYS,
        signal.SIGWINCH,
    )
]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How it ended: the program's exit code, or why it never ran (text not empty). code -1: the monitor is gone."""

    code: int
    text: str = ""


class SignalPipe:
    """Signals as bytes on a pipe, so that one poll waits for everything (signal.set_wakeup_fd)."""

    def __init__(self, signals: list[signal.Signals]) -> None:
        self.fd, self._write = os.pipe()
        os.set_blocking(self.fd, False)
        os.set_blocking(self._write, False)
        signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        for number in signals:
            signal.signal(number, lambda *_: None)

    def read(self) -> bytes:
        try:
            return os.read(self.fd, 64)
        except BlockingIOError:
            return b""


class Attachment:
    """Carries streams until the monitor says how it ended."""

    def __init__(self, channel: socket.socket, interactive: bool, tty: bool, auto_remove: bool) -> None:
        self.channel = channel
        self.auto_remove = auto_remove
        self.reader_gone = False
        self.tty = tty
        self.parser = Parser()
        self.outbox = Outbox()
        self.stdin_open = interactive
        self.outcome: Outcome | None = None

    def until_started(self) -> Outcome | None:
        """For -d: None once the program runs."""
        while True:
            data = self.channel.recv(CHUNK)
            if not data:
                return Outcome(-1)
            for kind, body in self.parser.feed(data):
                if kind is Kind.STARTED:
                    return None
                if kind is Kind.FAILED:
                    return _outcome(kind, body)

    def run(self) -> Outcome:
        signals = SignalPipe([*PROXIED, signal.SIGWINCH])
        self.channel.setblocking(False)
        with self._terminal():
            while self.outcome is None:
                for fd, _ in self._interests(signals).poll():
                    self._handle(fd, signals)
        return self.outcome

    def _terminal(self) -> AbstractContextManager[None]:
        raw = self.tty and self.stdin_open and os.isatty(0)
        return terminal.raw_mode(0) if raw else nullcontext()

    def _interests(self, signals: SignalPipe) -> select.poll:
        poll = select.poll()
        poll.register(self.channel, select.POLLIN | (select.POLLOUT if self.outbox else 0))
        poll.register(signals.fd, select.POLLIN)
        if self.stdin_open and len(self.outbox) < HIGH_WATER:
            poll.register(0, select.POLLIN)
        return poll

    def _handle(self, fd: int, signals: SignalPipe) -> None:
        if fd == signals.fd:
            for number in signals.read():
                self._signal(number)
        elif fd == self.channel.fileno():
            self._exchange()
        else:
            self._read_stdin()

    def _signal(self, number: int) -> None:
        if number == signal.SIGWINCH:
            if self.tty:
                self.send(Kind.RESIZE, struct.pack("HH", *size_of_terminal()))
        else:
            self.send(Kind.SIGNAL, bytes([number]))

    def _exchange(self) -> None:
        self.outbox.flush(self.channel)
        try:
            data = self.channel.recv(CHUNK)
        except BlockingIOError:
            return
        except ConnectionError:
            data = b""
        if not data:
            self.outcome = self.outcome or Outcome(-1)
            return
        for kind, body in self.parser.feed(data):
            if kind in (Kind.OUT, Kind.ERR):
                self._write(1 if kind is Kind.OUT else 2, body)
            elif kind in (Kind.EXITED, Kind.FAILED):
                self.outcome = _outcome(kind, body)

    def _write(self, fd: int, data: bytes) -> None:
        """A reader that leaves (`| head -1`) ends the command, as SIGPIPE would.

        The container goes on, as under Docker: its log has it all. One with --rm has nobody left who could want it,
        and is ended instead of filling the disk in secret.
        """
        try:
            if not self.reader_gone:
                write_all(fd, data)
        except BrokenPipeError:
            if not self.auto_remove:
                raise
            self.reader_gone = True
            self.send(Kind.SIGNAL, bytes([signal.SIGKILL]))

    def _read_stdin(self) -> None:
        try:
            data = os.read(0, CHUNK)
        except OSError:
            data = b""
        if data:
            self.send(Kind.STDIN, data)
        else:
            self.stdin_open = False
            self.send(Kind.STDIN_END)

    def send(self, kind: Kind, body: bytes = b"") -> None:
        self.outbox.add(frame(kind, body))
        self.outbox.flush(self.channel)


def size_of_terminal() -> tuple[int, int]:
    """(rows, columns) of whichever standard stream is a terminal; (0, 0) without one."""
    for fd in (0, 1, 2):
        try:
            return terminal.window_size(fd)
        except OSError:
            continue
    return 0, 0


def _outcome(kind: Kind, body: bytes) -> Outcome:
    return Outcome(body[0], body[1:].decode("utf-8", "replace") if kind is Kind.FAILED else "")


def write_all(fd: int, data: bytes) -> None:
    """All of it, to a terminal, file or pipe that may be slow. BrokenPipeError when its reader is gone."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:
            select.select([], [fd], [])
