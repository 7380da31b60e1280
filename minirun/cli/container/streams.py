"""The caller's side of a command that carries streams: its signals, and its standard output and error."""

import os
import signal
import stat
import time
from collections.abc import Iterable

from minirun.cli.output.lost import OutputError
from minirun.engine.protocol import Outbox
from minirun.kernel.event_loop import READ, WRITE, turn

# Everything but what cannot be caught, what the terminal needs, and what a bug here would raise.
_NOT_PROXIED = (
    *("KILL", "STOP", "CHLD", "PIPE", "TSTP", "TTIN", "TTOU", "CONT", "URG"),
    *("SEGV", "BUS", "FPE", "ILL", "TRAP", "ABRT", "SYS", "WINCH"),
)
PROXIED = sorted(
    {number for number in signal.valid_signals() if number < 32}
    - {signal.Signals[f"SIG{name}"] for name in _NOT_PROXIED}
)


_PATIENCE = 3  # signals
_HINT_DELAY = 1.0  # seconds


class SignalPipe:
    """Signals as bytes on a pipe, so that one poll waits for everything (signal.set_wakeup_fd)."""

    def __init__(self, signals: Iterable[int]) -> None:
        self.fd, self._write = os.pipe()
        os.set_blocking(self.fd, False)
        os.set_blocking(self._write, False)
        signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        for number in signals:
            signal.signal(number, lambda *_: None)

    def read(self) -> bytes:
        """The numbers of the signals that came."""
        try:
            return os.read(self.fd, 64)
        except BlockingIOError:
            return b""


class Interrupts:
    """Counts Ctrl-C and SIGTERM, as Docker's command does: a program may ignore them, and then the third one leaves it.

    As pid 1 of its namespace a program that handles neither ignores both. At a terminal a hint says so after a second.
    """

    def __init__(self, hint: str) -> None:
        self._hint = hint
        self._count = 0
        self._hint_at: float | None = None

    def leaves(self, number: int) -> bool:
        """Count a signal. Return whether the command is to leave now; it has told so."""
        if number not in (signal.SIGINT, signal.SIGTERM):
            return False
        self._count += 1
        if self._count == 1 and number == signal.SIGINT and os.isatty(2):
            self._hint_at = time.monotonic() + _HINT_DELAY
        if self._count == _PATIENCE:
            os.write(2, f"\nminirun: got {_PATIENCE} SIGTERM/SIGINTs, forcefully exiting\n".encode())
        return self._count >= _PATIENCE

    def due(self) -> float | None:
        """Seconds until `tick` is to be called; None: not before the next signal."""
        return None if self._hint_at is None else max(0.0, self._hint_at - time.monotonic())

    def tick(self) -> None:
        """Give the hint when it is time."""
        if self._hint_at is not None and time.monotonic() >= self._hint_at:
            self._hint_at = None
            os.write(2, f"\nminirun: {self._hint}\n".encode())


class Sink(Outbox):
    """Standard output or error: while its reader is slow, signals and keys are heard all the same.

    BrokenPipeError when its reader has left, OutputError when it cannot be written to.
    """

    def __init__(self, fd: int) -> None:
        super().__init__()
        self.fd = _unshared(fd)
        self._name = {1: "standard output", 2: "standard error"}[fd]

    def write(self, data: bytes) -> None:
        """Write now what the reader takes, and keep the rest."""
        self.add(data)
        self.push()

    def push(self) -> None:
        """Write more of what was kept."""
        try:
            self.write_to(self.fd)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise OutputError(error, self._name) from error


def _unshared(fd: int) -> int:
    """The same pipe or terminal, opened once more without waiting: O_NONBLOCK on what we were given would be there for
    everybody who has it, the caller's shell among them. Files never wait, and of a socket there is but one."""
    kind = os.fstat(fd).st_mode
    if stat.S_ISFIFO(kind) or os.isatty(fd):
        try:
            return os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        except OSError:  # its reader has left already, or there is no /proc
            pass
    return fd


def drain(sinks: list[Sink], signals: SignalPipe) -> None:
    """The program has ended: what it wrote goes out at its reader's pace. A signal is now for the command itself."""
    signals.read()
    while waiting := [sink for sink in sinks if sink]:
        turn([(signals.fd, READ, _heard), *((sink.fd, WRITE, sink.push) for sink in waiting)])
        if any(number != signal.SIGWINCH for number in signals.read()):
            return


def _heard() -> None: ...
