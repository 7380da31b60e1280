"""One run of the container's program: making its first process, how the start went, and its end."""

import os
import socket
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from minirun.engine.protocol import CHUNK, Kind
from minirun.errors import FAILED, MinirunError, describe
from minirun.init import mapped, program
from minirun.init.helper import HOST, StartHelper
from minirun.init.plan import Plan
from minirun.init.program import ChildFiles
from minirun.kernel import cgroups, limits, processes
from minirun.kernel.devices import devices_allow
from minirun.kernel.event_loop import READ, Interest
from minirun.kernel.sockets import receive_with_fds
from minirun.model import Process
from minirun.shim.idle import IdleState
from minirun.shim.streams import Streams

_ERRNO = struct.Struct("i")


class ContainerProcess:
    """The first process, in the order of its states: spawned, ready (waits for GO), started (has become the program).

    `failure` is the exit code and text of a start that failed.
    """

    pid: int
    pidfd: int

    def __init__(self, plan: Plan, on_started: Callable[[], None], on_output: Callable[[Kind, bytes], None]) -> None:
        self.plan = plan
        self.streams = Streams(plan.tty, on_output)
        self.go = self.ready = self.started = False
        self.failure: tuple[int, str] | None = None
        self._on_started = on_started
        self._maker = -1  # pidfd of the helper, or of the builder (init/mapped.py), which ends by itself
        self._reaped = False
        self.code: int | None = None  # of a process that has ended while the shim was idle, and was reaped

    def idle_fields(self) -> dict[str, Any]:
        """What IdleState keeps of it, for `resume`."""
        streams = self.streams
        return {
            "pid": self.pid,
            "pidfd": self.pidfd,
            "stdin": streams.stdin,
            "terminal": streams.terminal,
            "outputs": {fd: int(kind) for fd, kind in streams.outputs.items()},
            "stdin_ending": streams.stdin_ending,
        }

    def resume(self, state: IdleState) -> None:
        """Take over a process that runs already, after the shim was idle."""
        self.pid, self.pidfd = state.pid, state.pidfd
        streams = self.streams
        streams.stdin, streams.terminal, streams.stdin_ending = state.stdin, state.terminal, state.stdin_ending
        streams.outputs = {fd: Kind(kind) for fd, kind in state.outputs.items()}
        self.go = self.ready = self.started = True
        self._line, line_end = socket.socketpair()  # never used again
        line_end.close()
        self._error = -1

    @property
    def is_quiet(self) -> bool:
        """Whether nothing is under way: it runs, and all of its input has been written."""
        return self.started and not self.streams.inbox and self._maker < 0

    def spawn(self, stub: int, helper: StartHelper) -> None:
        """Make the first process by way of the helper. Closes `stub`."""
        plan = self.plan
        self._line, line_end = socket.socketpair()
        self._error, error_end = os.pipe()
        files = ChildFiles(line_end, () if plan.tty else self.streams.open_pipes(plan.interactive), error_end, stub)
        pid_of, ipc_of = _open_shared(plan.pid_of), _open_shared(plan.ipc_of)
        if plan.ids:
            helper.dismiss()
            self.pid, self.pidfd, self._maker = mapped.spawn(plan, mapped.Ends(files, pid_of, ipc_of))
        else:
            self.pid, self.pidfd, self._maker = helper.make(plan, files, pid_of, ipc_of)
        files.close()
        for fd in (pid_of, ipc_of):
            if fd >= 0:
                os.close(fd)

    def interests(self) -> Iterator[Interest]:
        """What the event loop is to wait for now."""
        yield self.pidfd, READ, _nothing  # the loop checks has_ended
        if not self.started and self._error >= 0:  # before its output: who sees that finds it running, on record
            yield self._error, READ, self._read_exec_result
        yield from self.streams.interests()
        if not self.ready:
            yield self._line.fileno(), READ, self._read_line
        if self._maker >= 0:
            yield self._maker, READ, self.reap_maker

    def has_ended(self) -> bool:
        """Whether the process has ended, and waits to be reaped."""
        return self.code is not None or processes.wait_gone(self.pidfd, 0)

    def release(self) -> None:
        """GO: the network is set up, so the first process may become the program as soon as it is ready."""
        self.go = True
        if self.ready and self.failure is None:
            try:
                self._line.sendall(b"G")
            except BrokenPipeError:
                pass  # it has died: the event loop sees its end next

    def abort(self, reason: str) -> None:
        """Kill it, and report `reason` as why the start failed."""
        self.failure = (FAILED, reason)
        self.signal(9)

    def signal(self, number: int) -> None:
        """Send it a signal. Does nothing between two runs, when the descriptor may name another file."""
        if not self._reaped:
            processes.signal_send(self.pidfd, number, self.pid)

    def process(self) -> Process | None:
        """Its pid and start time; None when it has ended, and its pid may belong to another process."""
        start_time = None if self._reaped else processes.start_time(self.pid)
        return None if start_time is None else Process(self.pid, start_time)

    # --- how the start went

    def _read_line(self) -> None:
        data, fds = receive_with_fds(self._line, CHUNK, 1)
        self.ready = True
        if not data:
            return  # it has died: the event loop sees its end next
        self._set_failure(data)
        if self.failure is None and fds:
            self.streams.use_terminal(fds[0])
        if self.go:
            self.release()

    def _set_failure(self, message: bytes) -> None:
        if failure := program.parse_failure(message):
            self.failure = (failure.code, failure.text)

    def _read_exec_result(self) -> None:
        """End of file: execve worked, unless the line has a FAILURE of a step before it. Four bytes: its errno."""
        data = os.read(self._error, _ERRNO.size)
        os.close(self._error)
        self._error = -1
        if data:
            failure = program.execve_failed(_ERRNO.unpack(data)[0], self.plan.argv[0])
            self.failure = (failure.code, failure.text)
            return
        self._read_late_failure()
        if self.failure is None:
            self.started = True
            self._on_started()

    def _read_late_failure(self) -> None:
        """Steps between GO and execve can fail too: an unknown user, a missing program."""
        self._line.setblocking(False)
        try:
            self._set_failure(self._line.recv(CHUNK))
        except BlockingIOError:
            return

    # --- the end

    def drain(self) -> None:
        """Pass on the rest of the output, when pid 1 has ended and the kernel has killed all others.

        In a shared pid namespace the kernel kills nobody, so kill the cgroup's processes first.
        """
        if self.plan.pid_of:
            cgroups.cgroup_kill(Path(self.plan.cgroup))
        self.streams.drain()

    def reap(self) -> int:
        """Reap it and return the exit code as Docker counts it: 128 + signal. Sets `failure` if it never started."""
        code = self.code if self.code is not None else _wait_for(self.pid)
        self.code, self._reaped = None, True
        if not self.started and self.failure is None:
            self._explain_early_end(code)
        self._close()
        return self.failure[0] if self.failure else code

    def _explain_early_end(self, code: int) -> None:
        """Find out why it ended before `started`: execve may even have worked, and the program ended very soon."""
        if not self.ready:
            self._read_line()
        if self.failure is None and self._error >= 0 and self.go:
            self._read_exec_result()
        if self.failure is None and not self.started:
            self.failure = (FAILED, f"the container's first process ended with {code} before the program began")

    def reap_maker(self) -> None:
        """Reap the process that made it. That one ends by itself, but what is left of it takes the kernel 2 ms."""
        if self._maker >= 0:
            os.waitid(os.P_PIDFD, self._maker, os.WEXITED)
            os.close(self._maker)
            self._maker = -1

    def _close(self) -> None:
        """Close everything of this run; the next one opens its own. A maker that is only ending is reaped later."""
        if not self.started:  # it may still be at work
            self.reap_maker()
        self._line.close()
        for fd in (self.pidfd, self._error):
            if fd >= 0:
                os.close(fd)
        self._error = -1
        self.streams.close()


def _wait_for(pid: int) -> int:
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    return 128 - code if code < 0 else code


def prepare_cgroup(plan: Plan) -> None:
    """Create the container's cgroup and set its limits."""
    if plan.scope:
        cgroups.cgroup_settle(Path(plan.scope))
    if plan.cgroup:
        cgroups.cgroup_add(Path(plan.cgroup))
    if plan.limits:
        limits.apply([Path(path) for path in plan.limit_groups], limits.of(plan.limits))


def allow_devices(plan: Plan) -> None:
    """Restrict the cgroup to the devices of the plan.

    A kernel without cgroup device programs relies on mounts that are nodev, unless rules were asked for.
    """
    try:
        devices_allow(Path(plan.cgroup), plan.device_rules)
    except OSError as error:
        if plan.needs_device_rules:
            raise MinirunError(f"this kernel does not support device rules: {describe(error)}", code=FAILED) from error


def _open_shared(process: tuple[int, ...]) -> int:
    """A pidfd of the process whose namespace is shared; -1 for a namespace of its own, or the host's."""
    if process in ((), HOST):
        return -1
    pidfd = processes.open_process(process[0], process[1])
    if pidfd is None:
        raise MinirunError("the container whose namespace it shares has ended", "start that one first", FAILED)
    return pidfd


def _nothing() -> None: ...
