"""One run of the container's program: its first process, its pipes or terminal, and how its start went."""

import os
import socket
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

from minirun.engine.protocol import CHUNK, HIGH_WATER, Kind, Outbox
from minirun.errors import FAILED, MinirunError
from minirun.init.plan import Plan
from minirun.init.program import execve_failed
from minirun.init.start import first_process, prepare
from minirun.kernel import cgroups, namespaces, processes, terminal
from minirun.kernel.event_loop import READ, WRITE, Interest, is_ready
from minirun.kernel.sockets import receive_with_fds
from minirun.model import Process
from minirun.shim.idle import Kept

_ERRNO = struct.Struct("i")
_HOST = (0, 0)


class Program:
    """Everything that the first process will need is imported and opened before it is made."""

    pid: int
    pidfd: int

    def __init__(self, plan: Plan, on_started: Callable[[], None], on_output: Callable[[Kind, bytes], None]) -> None:
        self.plan = plan
        self.on_started = on_started
        self.on_output = on_output
        self.inbox = Outbox()  # what waits for the program's standard input
        self.stdin = self.terminal = -1
        self.outputs: dict[int, Kind] = {}
        self._builder = -1  # the pidfd of who builds the tree where the first process cannot (init/mapped.py)
        self.go = self.ready = self.started = self.stdin_ending = False
        self.failure: tuple[int, str] | None = None
        self._reaped = False

    def resume(self, kept: Kept) -> None:
        """One that runs already."""
        self.pid, self.pidfd, self.stdin, self.terminal = kept.pid, kept.pidfd, kept.stdin, kept.terminal
        self.outputs = {fd: Kind(kind) for fd, kind in kept.outputs.items()}
        self.stdin_ending = kept.stdin_ending
        self.go = self.ready = self.started = True
        self._line, theirs = socket.socketpair()  # all has been said on it
        theirs.close()
        self._error = -1

    @property
    def is_quiet(self) -> bool:
        """Whether nothing is under way: it runs, and all that it was given is in its pipe."""
        return self.started and not self.inbox and self._builder < 0

    def spawn(self, stub: int) -> None:
        plan = self.plan
        self._line, theirs = socket.socketpair()
        self._error, error_fd = os.pipe()
        ours, stdio = ([], ()) if plan.tty else self._pipes()
        parent = os.getpid() if plan.pid_of == _HOST else 0  # as it is seen from inside
        shared = pid_of, ipc_of = _open_shared(plan.pid_of), _open_shared(plan.ipc_of)
        if plan.ids:
            from minirun.init import mapped

            ends = mapped.Ends(theirs, stdio, error_fd, stub, pid_of, ipc_of)
            self.pid, self.pidfd, self._builder = mapped.spawn(plan, ends)
        else:
            self.pid, self.pidfd = self._clone(pid_of)
        if self.pid == 0:
            first_process(plan, theirs, stdio, error_fd, stub, parent, lambda: prepare(plan, ipc_of), (ipc_of,))
        theirs.close()
        for fd in (error_fd, stub, *stdio, *(fd for fd in shared if fd >= 0)):
            os.close(fd)
        if ours:
            self.stdin = ours[0]
            self.outputs = {ours[1]: Kind.OUT, ours[2]: Kind.ERR}

    def _clone(self, pid_of: int) -> tuple[int, int]:
        plan = self.plan
        new = 0 if plan.pid_of else processes.NEW_PID
        new |= 0 if plan.ipc_of else processes.NEW_IPC
        new |= 0 if plan.uts_host else processes.NEW_UTS
        if pid_of >= 0:
            namespaces.join_pid_namespace(plan.pid_of[0], pid_of)
        pid, pidfd = processes.clone_container(Path(plan.cgroup) if plan.cgroup else None, new)
        if pid and pid_of >= 0:
            namespaces.leave_pid_namespace()
        return pid, pidfd

    def _pipes(self) -> tuple[list[int], tuple[int, ...]]:
        if self.plan.interactive:
            stdin, our_stdin = os.pipe()
            os.set_blocking(our_stdin, False)
        else:
            stdin, our_stdin = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC), -1
        our_stdout, stdout = os.pipe()
        our_stderr, stderr = os.pipe()
        return [our_stdin, our_stdout, our_stderr], (stdin, stdout, stderr)

    # --- the loop's side

    def interests(self) -> Iterator[Interest]:
        yield self.pidfd, READ, _nothing  # its end ends the loop
        for fd in self.outputs:
            yield fd, READ, lambda fd=fd: self.read_output(fd)  # type: ignore[misc]
        if self.inbox and (sink := self.input()) >= 0:
            yield sink, WRITE, self.feed
        if not self.started and self._error >= 0:
            yield self._error, READ, self._read_exec_result
        if not self.ready:
            yield self._line.fileno(), READ, self._read_line
        if self._builder >= 0:
            yield self._builder, READ, self._reap_builder

    def has_ended(self) -> bool:
        return processes.wait_gone(self.pidfd, 0)

    @property
    def takes_input(self) -> bool:
        return len(self.inbox) < HIGH_WATER

    def release(self) -> None:
        """GO: the network is wired."""
        self.go = True
        if self.ready and self.failure is None:
            try:
                self._line.sendall(b"G")
            except BrokenPipeError:
                pass  # it died meanwhile: its end is noticed next

    def abort(self, why: str) -> None:
        self.failure = (FAILED, why)
        self.signal(9)

    def signal(self, number: int) -> None:
        """Between two runs there is nobody: the descriptor may stand for something else by then."""
        if not self._reaped:
            processes.signal_send(self.pidfd, number, self.pid)

    def process(self) -> Process | None:
        """None: it has ended already, and its number may be somebody else's."""
        started = None if self._reaped else processes.start_time(self.pid)
        return None if started is None else Process(self.pid, started)

    def resize(self, rows: int, columns: int) -> None:
        if self.terminal >= 0:
            terminal.set_window_size(self.terminal, rows, columns)

    # --- how the start went

    def _read_line(self) -> None:
        data, fds = receive_with_fds(self._line, CHUNK, 1)
        self.ready = True
        if not data:
            return  # it died without a word: its end is noticed next
        if data[:1] == b"E":
            self.failure = (data[1], data[2:].decode("utf-8", "replace"))
        elif fds:
            self.terminal = fds[0]
            os.set_blocking(self.terminal, False)
            self.outputs = {self.terminal: Kind.OUT}
        if self.go:
            self.release()

    def _read_exec_result(self) -> None:
        """End of file: the exec worked. Four bytes: it did not. A message on the line: something before it did not."""
        data = os.read(self._error, _ERRNO.size)
        os.close(self._error)
        self._error = -1
        if data:
            reason = execve_failed(_ERRNO.unpack(data)[0], self.plan.argv[0])
            self.failure = (reason.code, reason.text)
            return
        self._read_late_failure()
        if self.failure is None:
            self.started = True
            self.on_started()

    def _read_late_failure(self) -> None:
        """Between GO and the exec the first process may still say `E`: an unknown user, a missing program."""
        self._line.setblocking(False)
        try:
            data = self._line.recv(CHUNK)
        except BlockingIOError:
            return
        if data[:1] == b"E":
            self.failure = (data[1], data[2:].decode("utf-8", "replace"))

    # --- streams

    def read_output(self, fd: int) -> None:
        try:
            data = os.read(fd, CHUNK)
        except BlockingIOError:
            return
        except OSError:  # EIO: the last holder of the terminal is gone
            data = b""
        if data:
            self.on_output(self.outputs[fd], data)
        else:
            del self.outputs[fd]
            if fd != self.terminal:
                os.close(fd)

    def drain(self) -> None:
        """pid 1 is gone and the kernel has killed the rest: what is in the pipes is all there will be.

        Of a pid namespace that is not its own, nobody has killed the rest.
        """
        if self.plan.pid_of:
            cgroups.cgroup_kill(Path(self.plan.cgroup))
        for fd in list(self.outputs):
            os.set_blocking(fd, False)
            while fd in self.outputs and is_ready(fd):
                self.read_output(fd)

    def input(self) -> int:
        return self.terminal if self.plan.tty else self.stdin

    def give(self, data: bytes) -> None:
        self.inbox.add(data)
        self.feed()

    def end_input(self) -> None:
        self.stdin_ending = True
        self.feed()

    def feed(self) -> None:
        """Write what the program takes now; close its input once it has ended and all of it is written."""
        sink = self.input()
        if sink < 0 and not self.ready:
            return  # its terminal is still to come
        if sink < 0 or not self.inbox.flush(sink) or (self.stdin_ending and not self.inbox):
            self.inbox.clear()
            if self.stdin >= 0:
                os.close(self.stdin)
                self.stdin = -1

    # --- the end

    def reap(self) -> int:
        """The exit code, as Docker counts it; says in `failure` why, if the program never ran."""
        _, status = os.waitpid(self.pid, 0)
        self._reaped = True
        code = os.waitstatus_to_exitcode(status)
        code = 128 - code if code < 0 else code
        if not self.started and self.failure is None:
            self._explain_early_end(code)
        self._close()
        return self.failure[0] if self.failure else code

    def _explain_early_end(self, code: int) -> None:
        """The exec may have worked, and the program ended, before the loop saw it."""
        if not self.ready:
            self._read_line()
        if self.failure is None and self._error >= 0 and self.go:
            self._read_exec_result()
        if self.failure is None and not self.started:
            self.failure = (FAILED, f"the container's first process ended with {code} before the program began")

    def _reap_builder(self) -> None:
        os.waitid(os.P_PIDFD, self._builder, os.WEXITED)
        os.close(self._builder)
        self._builder = -1

    def _close(self) -> None:
        """For the next run: nothing of this one stays open."""
        if self._builder >= 0:  # in a pid namespace whose first process has ended
            self._reap_builder()
        self._line.close()
        for fd in {self.pidfd, self.stdin, self.terminal, self._error, *self.outputs}:
            if fd >= 0:
                os.close(fd)
        self.outputs = {}
        self.stdin = self.terminal = self._error = -1


def _open_shared(process: tuple[int, ...]) -> int:
    """The pidfd of whose namespace is shared; -1 when that is nobody's or the host's."""
    if process in ((), _HOST):
        return -1
    pidfd = processes.open_process(process[0], process[1])
    if pidfd is None:
        raise MinirunError("the container whose namespace it shares has ended", "start that one first", FAILED)
    return pidfd


def _nothing() -> None: ...
