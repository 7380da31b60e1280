"""The monitor: one small process a container. It makes the container's first process, carries its streams, writes
its log, waits for it, and takes everything back at the end.

It is forked from the command before anything heavy is imported, so that it stays small and its own imports overlap
the command's. The dance:

    command                         monitor                              container's first process
    PLAN, sockets of the ports -->  cgroup, clone           -->          builds its tree
    wires the network
    GO                         -->  (waits for both)        <--  R       is ready
                                    one byte                -->          becomes the program
    STARTED                    <--  end of file on the error pipe
    STDIN, RESIZE, SIGNAL      -->
                               <--  OUT, ERR
    EXITED                     <--  records, takes back     <--          ends

If the command goes before GO, the start is taken back; afterwards the container goes on without it. If the monitor
goes, the kernel kills the container (PR_SET_PDEATHSIG), and the next command finds both dead and takes back the rest.
"""

import gc
import os
import select
import socket
import struct
import time
from pathlib import Path

from minirun.errors import FAILED, describe
from minirun.init.program import execve_failed
from minirun.init.start import first_process
from minirun.instance import Instance
from minirun.kernel import cgroups, processes, terminal
from minirun.kernel.sockets import receive_with_fds
from minirun.lifecycle import finish
from minirun.log import LogWriter
from minirun.model import Process
from minirun.plan import Plan
from minirun.wire import CHUNK, HIGH_WATER, MOST_FDS, Kind, Outbox, Parser, frame

_ERRNO = struct.Struct("i")


class Monitor:
    instance: Instance  # its own, opened after the first process was made

    def __init__(self, plan: Plan, channel: socket.socket, parser: Parser, held: list[int], stub: int) -> None:
        self.plan = plan
        self.stub = stub
        self.channel: socket.socket | None = channel
        self.parser = parser
        self.held = held  # the sockets that keep the published ports ours
        self.to_command = Outbox()
        self.to_program = Outbox()
        self.stdin = self.terminal = self.error = -1
        self.outputs: dict[int, Kind] = {}
        self.go = self.ready = self.started = self.stdin_ending = False
        self.failure: tuple[int, str] | None = None
        self.log = LogWriter(f"{plan.root}/containers/{plan.container}/log")

    # --- the container's first process

    def spawn(self) -> None:
        """Everything that the first process will need is imported and opened before it is made."""
        plan = self.plan
        if plan.cgroup:
            cgroups.cgroup_add(Path(plan.cgroup))
        self.line, theirs = socket.socketpair()
        self.error, error_fd = os.pipe()
        ours, stdio = ([], ()) if plan.tty else self._pipes()
        self.pid, self.pidfd = processes.clone_container(Path(plan.cgroup) if plan.cgroup else None)
        if self.pid == 0:
            first_process(plan, theirs, stdio, error_fd, self.stub)
        theirs.close()
        for fd in (error_fd, self.stub, *stdio):
            os.close(fd)
        if ours:
            self.stdin = ours[0]
            self.outputs = {ours[1]: Kind.OUT, ours[2]: Kind.ERR}

    def _pipes(self) -> tuple[list[int], tuple[int, ...]]:
        if self.plan.interactive:
            stdin, our_stdin = os.pipe()
            os.set_blocking(our_stdin, False)
        else:
            stdin, our_stdin = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC), -1
        our_stdout, stdout = os.pipe()
        our_stderr, stderr = os.pipe()
        return [our_stdin, our_stdout, our_stderr], (stdin, stdout, stderr)

    # --- the loop

    def run(self) -> None:
        """Until pid 1 has ended and all it wrote is read."""
        while not self._ended():
            poll = self._interests()
            for fd, _ in poll.poll():
                self._handle(fd)
        self._drain()

    def _interests(self) -> select.poll:
        """Rebuilt each time: what is waited for depends on what could not be written yet."""
        poll = select.poll()
        poll.register(self.pidfd, select.POLLIN)
        if self.channel is not None:
            mask = select.POLLIN if len(self.to_program) < HIGH_WATER else 0
            poll.register(self.channel, mask | (select.POLLOUT if self.to_command else 0))
        if len(self.to_command) < HIGH_WATER:
            for fd in self.outputs:
                poll.register(fd, select.POLLIN)
        if self.to_program and (sink := self._program_input()) >= 0:
            extra = select.POLLIN if sink in self.outputs and len(self.to_command) < HIGH_WATER else 0
            poll.register(sink, select.POLLOUT | extra)
        if not self.started and self.error >= 0:
            poll.register(self.error, select.POLLIN)
        if not self.ready:
            poll.register(self.line, select.POLLIN)
        return poll

    def _handle(self, fd: int) -> None:
        if self.channel is not None and fd == self.channel.fileno():
            self._serve_command()
        elif fd == self.error:
            self._read_exec_result()
        elif fd == self.line.fileno():
            self._read_line()
        else:
            if fd in self.outputs:
                self._read_output(fd)
            if fd == self._program_input():
                self._feed_program()

    def _ended(self) -> bool:
        return processes.wait_gone(self.pidfd, 0)

    def _read_line(self) -> None:
        data, fds = receive_with_fds(self.line, CHUNK, 1)
        self.ready = True
        if not data:
            return  # it died without a word: its end is noticed next
        if data[:1] == b"E":
            self.failure = (data[1], data[2:].decode("utf-8", "replace"))
        elif fds:
            self.terminal = fds[0]
            os.set_blocking(self.terminal, False)
            self.outputs = {self.terminal: Kind.OUT}
        self._release()

    def _release(self) -> None:
        if self.go and self.ready and self.failure is None:
            try:
                self.line.sendall(b"G")
            except BrokenPipeError:
                pass  # it died meanwhile: its end is noticed next

    def _read_exec_result(self) -> None:
        data = os.read(self.error, _ERRNO.size)
        os.close(self.error)
        self.error = -1
        if data:
            reason = execve_failed(_ERRNO.unpack(data)[0], self.plan.argv[0])
            self.failure = (reason.code, reason.text)
            return
        self._read_late_failure()
        if self.failure is None:
            self._record_started()

    def _read_late_failure(self) -> None:
        """Between GO and the exec the first process may still say `E`: an unknown user, a missing program."""
        self.line.setblocking(False)
        try:
            data = self.line.recv(CHUNK)
        except BlockingIOError:
            return
        if data[:1] == b"E":
            self.failure = (data[1], data[2:].decode("utf-8", "replace"))

    def _record_started(self) -> None:
        self.started = True
        started = processes.start_time(self.pid)
        # None: it has ended already. The end is recorded soon, and a start without a process would be a lie.
        if started is not None:
            self.instance.store.set_running(self.plan.container, Process(self.pid, started), time.time())
        self._tell(Kind.STARTED)

    # --- streams

    def _read_output(self, fd: int) -> None:
        try:
            data = os.read(fd, CHUNK)
        except BlockingIOError:
            return
        except OSError:  # EIO: the last holder of the terminal is gone
            data = b""
        kind = self.outputs[fd]
        if not data:
            del self.outputs[fd]
            return
        self.log.write("stdout" if kind is Kind.OUT else "stderr", data)
        self._tell(kind, data)

    def _drain(self) -> None:
        """pid 1 is gone and the kernel has killed the rest: what is in the pipes is all there will be."""
        for fd in list(self.outputs):
            os.set_blocking(fd, False)
            while fd in self.outputs:
                if not select.select([fd], [], [], 0)[0]:
                    break
                self._read_output(fd)
                self._flush_fully(HIGH_WATER)
        self.log.close()

    def _serve_command(self) -> None:
        assert self.channel is not None
        if self.to_command and not self.to_command.flush(self.channel):
            return self._command_gone()
        try:
            data = self.channel.recv(CHUNK)
        except BlockingIOError:
            return None
        except OSError:
            data = b""
        if not data:
            return self._command_gone()
        for kind, body in self.parser.feed(data):
            self._obey(kind, body)
        return None

    def _obey(self, kind: Kind, body: bytes) -> None:
        if kind is Kind.GO:
            self.go = True
            self._release()
        elif kind is Kind.STDIN:
            self.to_program.add(body)
            self._feed_program()
        elif kind is Kind.STDIN_END:
            self.stdin_ending = True
            self._feed_program()
        elif kind is Kind.SIGNAL:
            processes.signal_send(self.pidfd, body[0], self.pid)
        elif kind is Kind.RESIZE and self.terminal >= 0:
            terminal.set_window_size(self.terminal, *struct.unpack("HH", body))

    def _program_input(self) -> int:
        return self.terminal if self.plan.tty else self.stdin

    def _feed_program(self) -> None:
        """Write what the program takes now; close its input once it has ended and all of it is written."""
        sink = self._program_input()
        if sink < 0 or not self.to_program.flush(sink) or (self.stdin_ending and not self.to_program):
            self._close_stdin()

    def _close_stdin(self) -> None:
        self.to_program.clear()
        if self.stdin >= 0:
            os.close(self.stdin)
            self.stdin = -1

    def _command_gone(self) -> None:
        """Before GO a start is taken back; afterwards the container is on its own, with its input at an end."""
        assert self.channel is not None
        self.channel.close()
        self.channel = None
        self.to_command.clear()
        self.stdin_ending = True
        self._feed_program()
        if not self.go:
            self.failure = (FAILED, "the command that started it was ended")
            processes.signal_send(self.pidfd, 9, self.pid)

    def _tell(self, kind: Kind, body: bytes = b"") -> None:
        if self.channel is None:
            return
        self.to_command.add(frame(kind, body))
        if not self.to_command.flush(self.channel):
            self._command_gone()

    def _flush_fully(self, down_to: int) -> None:
        while self.channel is not None and len(self.to_command) > down_to:
            poll = select.poll()
            poll.register(self.channel, select.POLLOUT)
            poll.poll()
            if not self.to_command.flush(self.channel):
                self._command_gone()

    # --- the end

    def end(self) -> None:
        """Record how it ended, take everything back, then tell the command: when it returns, all is done."""
        _, status = os.waitpid(self.pid, 0)
        code = os.waitstatus_to_exitcode(status)
        code = 128 - code if code < 0 else code
        if not self.started and self.failure is None:
            self._explain_early_end(code)
        if self.failure is not None:
            code = self.failure[0]
        finish(
            self.instance,
            self.plan.container,
            code,
            self.failure[1] if self.failure else "",
            remove=not self.started,
        )
        for fd in self.held:
            os.close(fd)
        if self.failure is not None:
            self._tell(Kind.FAILED, bytes([code]) + self.failure[1].encode())
        else:
            self._tell(Kind.EXITED, bytes([code]))
        self._flush_fully(0)

    def _explain_early_end(self, code: int) -> None:
        """The exec may have worked, and the program ended, before the loop saw it."""
        if not self.ready:
            self._read_line()
        if self.failure is None and self.error >= 0 and self.go:
            self._read_exec_result()
        if self.failure is None and not self.started:
            self.failure = (
                FAILED,
                f"the container's first process ended with {code} before the program began",
            )


def serve(fd: int) -> None:
    """The life of a monitor: wait for a plan, carry it out. End of file first: the command needed none."""
    channel = socket.socket(fileno=fd)
    parser = Parser()
    held: list[int] = []
    stub = processes.sealed_stub()  # made while the command is still reading its own words
    while True:
        data, fds = receive_with_fds(channel, CHUNK, MOST_FDS)
        held += fds
        if not data:
            return None
        for kind, body in parser.feed(data):
            if kind is Kind.PLAN:
                plan = Plan.load(body)
                return _carry_out(Monitor(plan, channel, parser, held, stub))


def _carry_out(monitor: Monitor) -> None:
    plan = monitor.plan
    monitor.channel.setblocking(False)  # type: ignore[union-attr]
    _leave_terminal(plan)
    try:
        monitor.spawn()
        # GO may have come in the same read as the plan.
        for kind, body in monitor.parser.feed(b""):
            monitor._obey(kind, body)
    except BaseException as error:
        monitor._tell(Kind.FAILED, bytes([FAILED]) + describe(error).encode())
        monitor._flush_fully(0)
        raise
    # Opened now, while the first process is building its tree, and not before it was made: SQLite must not be forked.
    monitor.instance = Instance(Path(plan.root))
    gc.enable()  # off since the fork; what is left alive now is all there will be for long
    gc.freeze()
    monitor.run()
    monitor.end()


def _leave_terminal(plan: Plan) -> None:
    """The caller's terminal and pipes are not ours to keep open: `-d | cat` must end, ssh must be able to leave."""
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    for fd in (0, 1):
        os.dup2(null, fd)
    if not plan.explain:
        os.dup2(
            os.open(
                f"{plan.root}/containers/{plan.container}/monitor.log",
                os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC,
                0o600,
            ),
            2,
        )
