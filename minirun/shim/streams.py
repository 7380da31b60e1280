"""The program's pipes or terminal, and the input that waits for it."""

import os
from collections.abc import Callable, Iterator

from minirun.engine.protocol import CHUNK, HIGH_WATER, Kind, Outbox
from minirun.kernel import terminal
from minirun.kernel.event_loop import READ, WRITE, Interest, is_ready


class Streams:
    """The shim's ends of them, as descriptors; -1 where there is none. `outputs` maps each to OUT or ERR."""

    def __init__(self, tty: bool, on_output: Callable[[Kind, bytes], None]) -> None:
        self._tty = tty
        self._on_output = on_output
        self.inbox = Outbox()  # what waits to be written to standard input
        self.stdin = self.terminal = -1
        self.outputs: dict[int, Kind] = {}
        self.stdin_ending = False

    def open_pipes(self, interactive: bool) -> tuple[int, ...]:
        """Open the pipes and return the program's ends: standard input, output, error.

        Unless `interactive`, standard input is /dev/null.
        """
        if interactive:
            stdin, self.stdin = os.pipe()
            os.set_blocking(self.stdin, False)
        else:
            stdin = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
        our_stdout, stdout = os.pipe()
        our_stderr, stderr = os.pipe()
        self.outputs = {our_stdout: Kind.OUT, our_stderr: Kind.ERR}
        return stdin, stdout, stderr

    def use_terminal(self, master: int) -> None:
        """Take over the master of the terminal that the first process has opened."""
        self.terminal = master
        os.set_blocking(master, False)
        self.outputs = {master: Kind.OUT}

    def resize(self, rows: int, columns: int) -> None:
        """Set the terminal's size, if there is one."""
        if self.terminal >= 0:
            terminal.set_window_size(self.terminal, rows, columns)

    def interests(self) -> Iterator[Interest]:
        """What the event loop is to wait for now."""
        for fd in self.outputs:
            yield fd, READ, lambda fd=fd: self.read_output(fd)  # type: ignore[misc]
        if self.inbox and self._sink >= 0:
            yield self._sink, WRITE, self.flush_input

    def read_output(self, fd: int) -> None:
        """Read once from an output and pass the data on; at end of file, close it."""
        try:
            data = os.read(fd, CHUNK)
        except BlockingIOError:
            return
        except OSError:  # EIO: no process has the terminal open any more
            data = b""
        if data:
            self._on_output(self.outputs[fd], data)
        else:
            del self.outputs[fd]
            if fd != self.terminal:
                os.close(fd)

    def drain(self) -> None:
        """Read what is left in the pipes. Call when no process can write to them any more."""
        for fd in list(self.outputs):
            os.set_blocking(fd, False)
            while fd in self.outputs and is_ready(fd):
                self.read_output(fd)

    @property
    def _sink(self) -> int:
        return self.terminal if self._tty else self.stdin

    @property
    def takes_input(self) -> bool:
        """Whether more input may be read from clients: false while too much waits here."""
        return len(self.inbox) < HIGH_WATER

    def write_input(self, data: bytes) -> None:
        """Pass data on to the program's standard input, now or as soon as it takes it."""
        self.inbox.add(data)
        self.flush_input()

    def end_input(self) -> None:
        """Close the program's standard input once all that waits has been written."""
        self.stdin_ending = True
        self.flush_input()

    def flush_input(self) -> None:
        """Write what the program takes now; close its input after the last byte, or when it takes no more."""
        if self._sink < 0 and self._tty:
            return  # its terminal is not open yet
        if self._sink < 0 or not self.inbox.flush(self._sink) or (self.stdin_ending and not self.inbox):
            self.inbox.clear()
            if self.stdin >= 0:
                os.close(self.stdin)
                self.stdin = -1

    def close(self) -> None:
        """Close all of them."""
        for fd in {self.stdin, self.terminal, *self.outputs}:
            if fd >= 0:
                os.close(fd)
        self.outputs = {}
        self.stdin = self.terminal = -1
