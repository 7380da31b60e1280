"""minirun exec."""

import os
import signal
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace

from minirun.cli.app import warn
from minirun.cli.opening import open_instance
from minirun.cli.streams import PROXIED, SignalPipe, Sink, drain
from minirun.cli.verb import Verb, many, switch, value
from minirun.engine.environment import with_environment
from minirun.engine.exec import Joined, join
from minirun.engine.protocol import CHUNK, HIGH_WATER, Outbox
from minirun.errors import MinirunError
from minirun.init.exec_process import Request
from minirun.init.program import StartError
from minirun.kernel import controllers, processes, terminal
from minirun.kernel.event_loop import READ, WRITE, Interest, is_ready, turn
from minirun.security.confinement import confinement_for
from minirun.store.lookup import find_container

_FULL_PIPE = 1 << 20


class Exec(Verb):
    usage = "CONTAINER COMMAND [ARG...]"
    least = 2
    interspersed = False
    completes = "running -"
    detach = switch("detach", "d", "Detached mode: run command in the background")
    interactive = switch("interactive", "i", "Keep STDIN open even if not attached")
    tty = switch("tty", "t", "Allocate a pseudo-TTY")
    env = many("env", "e", "Set environment variables")
    env_file = many("env-file", "", "Read in a file of environment variables")
    privileged = switch("privileged", "", "Give extended privileges to the command")
    workdir = value("workdir", "w", "Working directory inside the container")
    user = value("user", "u", 'Username or UID (format: "<name|uid>[:<group|gid>]")')

    def run(self) -> int:
        if self.tty and self.interactive and not self.detach and not os.isatty(0):
            raise MinirunError("the input device is not a TTY", "leave out -t when input comes from a pipe or file")
        instance = open_instance()
        found = find_container(instance.store, self.words[0])
        request = Request(
            argv=tuple(self.words[1:]),
            env=self._environment(),
            workdir=self.workdir or found.spec.workdir,
            user=self.user,
            privileged=self.privileged,
            tty=self.tty and not self.detach,
            interactive=self.interactive and not self.detach,
            detach=self.detach,
            size=terminal.size_of_caller(),
        )
        try:
            groups = controllers.existing(instance.cgroup, found.id)
            confined = confinement_for(instance, found.spec.security)
            if self.privileged:  # of system calls it keeps the container's filter, as in Docker
                confined = replace(confined, profile="")
            joined = join(with_environment(instance, found), request, groups, confined)
        except StartError as error:
            warn(f"minirun: {error.text}")
            return error.code
        return 0 if self.detach else Relay(joined, request).run()

    def _environment(self) -> tuple[tuple[str, str], ...]:
        if not self.env and not self.env_file:
            return ()
        from minirun.options.parse import parse_env

        return parse_env(self.env, self.env_file)


class Relay:
    """Streams between the caller and the process until the process has ended and all it wrote is out."""

    def __init__(self, joined: Joined, request: Request) -> None:
        self.joined = joined
        self.request = request
        self.to_program = Outbox()
        self.sinks = {source: Sink(target) for source, target in joined.outputs.items()}
        self.stdin_open = request.interactive
        if joined.stdin >= 0:
            os.set_blocking(joined.stdin, False)

    def run(self) -> int:
        signals = SignalPipe([*PROXIED, signal.SIGWINCH])
        raw = self.request.tty and self.request.interactive and os.isatty(0)
        with terminal.raw_mode(0) if raw else nullcontext():
            while not processes.wait_gone(self.joined.pidfd, 0):
                turn(self._interests(signals))
            self._drain()
            drain(list(self.sinks.values()), signals)
        status = os.waitstatus_to_exitcode(os.waitpid(self.joined.pid, 0)[1])
        return 128 - status if status < 0 else status

    def _interests(self, signals: SignalPipe) -> Iterator[Interest]:
        yield self.joined.pidfd, READ, lambda: None  # its end ends the loop
        yield signals.fd, READ, lambda: self._signals(signals)
        for fd, sink in self.sinks.items():
            if sink:
                yield sink.fd, WRITE, sink.push
            if fd in self.joined.outputs and len(sink) < HIGH_WATER:
                yield fd, READ, lambda fd=fd: self._read_output(fd)  # type: ignore[misc]
        if self.stdin_open and len(self.to_program) < HIGH_WATER:
            yield 0, READ, self._read_stdin
        if self.to_program and self.joined.stdin >= 0:
            yield self.joined.stdin, WRITE, self._feed

    def _signals(self, signals: SignalPipe) -> None:
        for number in signals.read():
            if number != signal.SIGWINCH:
                processes.signal_send(self.joined.pidfd, number, self.joined.pid)
            elif self.joined.terminal >= 0:
                terminal.set_window_size(self.joined.terminal, *terminal.size_of_caller())

    def _read_stdin(self) -> None:
        try:
            data = os.read(0, CHUNK)
        except OSError:  # the terminal was hung up
            data = b""
        self.stdin_open = bool(data)
        self.to_program.add(data)
        self._feed()

    def _feed(self) -> None:
        if self.joined.stdin < 0:
            return
        alive = self.to_program.flush(self.joined.stdin)
        ended = not self.stdin_open and not self.to_program
        if self.joined.terminal < 0 and (not alive or ended):
            os.close(self.joined.stdin)
            self.joined.stdin = -1
            self.to_program.clear()

    def _read_output(self, fd: int) -> None:
        try:
            data = os.read(fd, CHUNK)
        except BlockingIOError:
            return
        except OSError:  # EIO: nobody holds the terminal any more
            data = b""
        if data:
            self.sinks[fd].write(data)
        else:
            del self.joined.outputs[fd]

    def _drain(self) -> None:
        """What the process wrote is in the pipes already, a mebibyte at most (pipe(7)); what its own children may write
        later is not waited for."""
        for fd in list(self.joined.outputs):
            for _ in range(_FULL_PIPE // CHUNK):
                if fd in self.joined.outputs and is_ready(fd):
                    self._read_output(fd)
