"""exec: one more process in a running container, with the same rights as its first.

The command makes it by itself and waits for it: the shim takes no part.

    command                   a helper                                  the new process
    forks it            -->   waits
    sends the plan      -->   joins cgroups and all namespaces
                              but those of pids and cgroups;
                              makes it, as the command's child,   -->
    reads its pid       <--   from its own memory, and waits      <--   its pid; terminal, user, program
    waits, carries streams    ends                                <--   execve

For the v2 cgroup there is a second helper, which the first goes on as.

The helper sees the host's processes and is the host's root, but it never is in the container's pid namespace, so nobody
in the container can look into it. The new process, which is born there, has nothing of the host's left but the helper's
memory, until execve. A process that may trace any other (CAP_SYS_PTRACE) can look into it; it is hidden from all others
(CVE-2016-9962). Their side is in init/exec_process.py.
"""

import os
import signal
import socket
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field

from minirun.errors import FAILED, MinirunError
from minirun.init import program
from minirun.init.exec_process import ExecHelper, ExecPlan, ExecRequest
from minirun.init.program import ChildFiles, StartError
from minirun.kernel import execution, processes
from minirun.kernel.sockets import receive_with_fds
from minirun.model import Container, Process, Status

_MESSAGE_SIZE = 65536
_GO_ON = b"K"  # to the new process: its pid is known here


@dataclass
class ExecProcess:
    """A process of exec, and the command's ends of its streams; -1 where it has none."""

    pid: int
    pidfd: int
    helpers: list[int]  # that made it, and end when it has executed its program; pidfds
    stdin: int = -1
    outputs: dict[int, int] = field(default_factory=dict)  # our descriptor -> 1 (standard output) or 2 (error)
    terminal: int = -1

    def reap_helpers(self) -> None:
        """Wait for the end of the helpers."""
        while self.helpers:
            pidfd = self.helpers.pop()
            os.waitid(os.P_PIDFD, pidfd, os.WEXITED)
            os.close(pidfd)


def start_exec(plan: ExecPlan, helper: ExecHelper | None = None) -> ExecProcess:
    """Start a process in the container; on return it has become the program. A helper is forked if none is given.

    MinirunError when the container is not running or paused, StartError when the program cannot be started.
    """
    container, request = plan.container, plan.request
    with ExitStack() as on_failure, ExitStack() as always:
        target = _open_target(container)
        always.callback(os.close, target)
        line, line_end = socket.socketpair()
        always.callback(line.close)
        error, error_end = os.pipe()
        always.callback(os.close, error)
        ours, stdio = ((), ()) if request.tty else _pipes(request)
        for fd in ours:
            on_failure.callback(_close, fd)
        for fd in stdio if container.ids else ():
            program.chown_stream(fd, container.ids[0], container.ids[0])
        files = ChildFiles(line_end, stdio, error_end, execution.sealed_stub())
        pid, helpers = _spawn(plan, files, target, line, helper)
        joined = ExecProcess(pid, os.pidfd_open(pid), [os.pidfd_open(helper) for helper in helpers])
        on_failure.callback(_reap, joined)
        with suppress(BrokenPipeError):  # it was killed with the container: its end tells
            line.sendall(_GO_ON)
        if request.tty:
            joined.terminal = joined.stdin = _receive_terminal(line)
            on_failure.callback(os.close, joined.terminal)
            joined.outputs = {joined.terminal: 1}
        elif not request.detach:
            joined.stdin, joined.outputs = ours[0], {ours[1]: 1, ours[2]: 2}
        _check_exec(line, error, request)
        on_failure.pop_all()
        return joined


def check_target(container: Container) -> Process:
    """Return the first process of a container that can have one more. MinirunError when it is not running or paused."""
    if container.status is not Status.RUNNING or container.init is None:
        raise MinirunError(f"container {container.name} is not running")
    if container.paused:
        raise MinirunError(f"Container {container.name} is paused, unpause the container before exec")
    return container.init


def _open_target(container: Container) -> int:
    """A pidfd of the container's first process."""
    first = check_target(container)
    target = processes.open_process(first.pid, first.started)
    if target is None:
        raise MinirunError(f"container {container.name} is not running")
    return target


def _spawn(
    plan: ExecPlan, files: ChildFiles, target: int, line: socket.socket, helper: ExecHelper | None
) -> tuple[int, list[int]]:
    """Make the new process by way of the helper, and return its pid and those of the helpers."""
    try:
        pid, helpers = (helper or ExecHelper()).make(plan, files, target)
    finally:
        files.close()
    if pid:
        return pid, helpers
    for one in helpers:
        os.waitpid(one, 0)
    failure = program.parse_failure(line.recv(_MESSAGE_SIZE))
    raise failure or StartError(FAILED, "the process that was to join the container was killed")


def _reap(joined: ExecProcess) -> None:
    """Kill and reap a process that failed: a zombie would keep its pid namespace, and so the container, from ending."""
    os.kill(joined.pid, signal.SIGKILL)
    os.waitpid(joined.pid, 0)
    os.close(joined.pidfd)
    joined.reap_helpers()


def _close(fd: int) -> None:
    if fd >= 0:
        os.close(fd)


def _pipes(request: ExecRequest) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """(our ends, the process's ends) of standard input (ours is -1 when it has none), output and error."""
    null = [os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)]
    if request.detach:
        return (), (null[0], os.dup(null[0]), os.dup(null[0]))
    stdin, our_stdin = os.pipe() if request.interactive else (null.pop(), -1)
    for fd in null:
        os.close(fd)
    (our_stdout, stdout), (our_stderr, stderr) = os.pipe(), os.pipe()
    return (our_stdin, our_stdout, our_stderr), (stdin, stdout, stderr)


def _receive_terminal(line: socket.socket) -> int:
    """The master of the terminal that the new process has opened."""
    data, fds = receive_with_fds(line, _MESSAGE_SIZE, 1)
    if failure := program.parse_failure(data):
        raise failure
    if not fds:
        raise MinirunError("the process ended before it had a terminal", code=FAILED)
    return fds[0]


def _check_exec(line: socket.socket, error: int, request: ExecRequest) -> None:
    """Wait for execve. End of file on `error` without a FAILURE on the line means success; four bytes are an errno."""
    data = os.read(error, 4)
    if data:
        raise program.execve_failed(int.from_bytes(data, "little"), request.argv[0])
    if failure := program.parse_failure(line.recv(_MESSAGE_SIZE)):
        raise failure
