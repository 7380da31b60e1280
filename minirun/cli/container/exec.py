"""minirun exec."""

import os
import signal
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from typing import Annotated

from typer import Argument, Option

from minirun.cli.completion.values import FILE, environment
from minirun.cli.container.streams import PROXIED, Interrupts, SignalPipe, Sink, drain
from minirun.cli.parameters import NONE, RunningContainer
from minirun.cli.session import commands, open_instance, warn
from minirun.engine.environment import with_environment
from minirun.engine.exec import ExecProcess, check_target, start_exec
from minirun.engine.exec_records import ExecRecord, end_of, start_detached
from minirun.engine.protocol import CHUNK, HIGH_WATER, Outbox
from minirun.errors import MinirunError
from minirun.init.exec_process import ExecHelper, ExecPlan, ExecRequest
from minirun.init.program import StartError
from minirun.kernel import controllers, processes, terminal
from minirun.kernel.event_loop import READ, WRITE, Interest, is_ready, turn
from minirun.options.environment import names_to_unset, parse_env
from minirun.security.confinement import confinement_for
from minirun.store.lookup import find_container

_FULL_PIPE = 1 << 20


app = commands()


@app.command("exec", flags_end=True)
def exec_(
    container: RunningContainer,
    words: Annotated[list[str], Argument(metavar="COMMAND [ARG...]")],
    detach: Annotated[bool, Option("--detach", "-d", help="Detached mode: run command in the background")] = False,
    interactive: Annotated[bool, Option("--interactive", "-i", help="Keep STDIN open even if not attached")] = False,
    tty: Annotated[bool, Option("--tty", "-t", help="Allocate a pseudo-TTY")] = False,
    env: Annotated[
        list[str], Option("--env", "-e", help="Set environment variables", autocompletion=environment)
    ] = NONE,
    env_file: Annotated[
        list[str], Option("--env-file", help="Read in a file of environment variables", click_type=FILE)
    ] = NONE,
    privileged: Annotated[bool, Option("--privileged", help="Give extended privileges to the command")] = False,
    workdir: Annotated[str, Option("--workdir", "-w", help="Working directory inside the container")] = "",
    user: Annotated[str, Option("--user", "-u", help='Username or UID (format: "<name|uid>[:<group|gid>]")')] = "",
) -> int:
    """Execute a command in a running container."""
    if tty and interactive and not detach and not os.isatty(0):
        raise MinirunError("the input device is not a TTY", "leave out -t when input comes from a pipe or file")
    helper = None if detach else ExecHelper(is_claimed=True)  # it prepares itself meanwhile
    instance = open_instance()
    target = find_container(instance.store, container)
    check_target(target)
    unset = names_to_unset(env)
    request = ExecRequest(
        argv=tuple(words),
        env=parse_env(env, env_file),
        workdir=workdir or target.spec.workdir,
        user=user,
        privileged=privileged,
        tty=tty and not detach,
        interactive=interactive and not detach,
        detach=detach,
        size=terminal.size_of_caller(),
    )
    groups = tuple(controllers.existing(instance.cgroup, target.id))
    confined = confinement_for(instance, target.spec.security)
    if privileged:  # it keeps the container's system call filter, as in Docker
        confined = replace(confined, profile="")
    plan = ExecPlan(with_environment(instance, target, unset), request, confined, groups)
    begin = partial(start_exec, plan, helper)
    tracked = ExecRecord(instance, target.id, words)
    for action in ("exec_create", "exec_start"):
        tracked.tell(instance, action)
    try:
        if detach:
            start_detached(instance, tracked, begin)
            return 0
        joined = begin()
    except StartError as error:
        warn(f"minirun: {error.text}")
        return error.code
    tracked.has_started(joined.pid)
    relay = Relay(joined, request)
    code = relay.run()
    if not relay.is_left:
        tracked.has_ended(instance, code)
    return code


class Relay:
    """Streams between the caller and the process until the process has ended and all it wrote is out."""

    def __init__(self, joined: ExecProcess, request: ExecRequest) -> None:
        self.joined = joined
        self.request = request
        self.to_program = Outbox()
        self.sinks = {source: Sink(target) for source, target in joined.outputs.items()}
        self.stdin_open = request.interactive
        self.interrupts = Interrupts("the program has not ended: it ignores the signal. Ctrl-C twice more ends it.")
        self.is_left = False
        if joined.stdin >= 0:
            os.set_blocking(joined.stdin, False)

    def run(self) -> int:
        """Carry the streams. Returns the process's exit code."""
        signals = SignalPipe([*PROXIED, signal.SIGWINCH])
        raw = self.request.tty and self.request.interactive and os.isatty(0)
        with terminal.raw_mode(0) if raw else nullcontext():
            while not processes.wait_gone(self.joined.pidfd, 0):
                turn(self._interests(signals), self.interrupts.due())
                self.interrupts.tick()
                if self.is_left:
                    return 1
            self._drain()
            drain(list(self.sinks.values()), signals)
        return end_of(self.joined)  # helpers that have not ended are reaped by whoever inherits them

    def _interests(self, signals: SignalPipe) -> Iterator[Interest]:
        yield self.joined.pidfd, READ, lambda: None  # its end ends the loop
        for helper in self.joined.helpers[:1]:  # they end together
            yield helper, READ, self.joined.reap_helpers
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
                self.is_left |= self.interrupts.leaves(number)
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
