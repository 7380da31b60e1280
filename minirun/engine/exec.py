"""exec: one more process in a running container, with the same rights as its first.

It is made by the command itself: no monitor is needed, the command is the one who waits.

    command                   a helper                                  the new process
    fork                -->   closes files, joins cgroups and
                              all namespaces but the pid namespace
    is told its pid     <--   makes it, as the command's child    -->   terminal, user, program
    waits, carries streams    ends

Nobody in the container can look into the helper, which has the host's files open and the host's root: it is not in the
container's pid namespace. What is born there has nothing of the host's any more but the interpreter that it runs, and
can be looked into by who may trace any process (CAP_SYS_PTRACE); it is hidden from all others (CVE-2016-9962).
"""

import os
import signal
import socket
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from minirun.errors import CANNOT_INVOKE, FAILED, MinirunError
from minirun.init import program
from minirun.init.program import StartError
from minirun.kernel import controllers, credentials, execution, namespaces, processes, seam, terminal
from minirun.kernel.credentials import granted
from minirun.kernel.sockets import receive_with_fds, send_with_fds
from minirun.model import Container, Status
from minirun.security.confinement import Confinement

_KNOWN = b"K"


@dataclass(frozen=True)
class Request:
    """What exec was asked for."""

    argv: tuple[str, ...]
    env: tuple[tuple[str, str], ...] = ()
    workdir: str = "/"
    user: str = ""
    privileged: bool = False
    tty: bool = False
    interactive: bool = False
    detach: bool = False
    size: tuple[int, int] = (0, 0)


@dataclass
class Joined:
    """The process, and the command's ends of its streams."""

    pid: int
    pidfd: int
    stdin: int = -1
    outputs: dict[int, int] = field(default_factory=dict)  # from descriptor, to descriptor
    terminal: int = -1


def join(container: Container, request: Request, groups: list[Path], confined: Confinement) -> Joined:
    """Start the process in the container's cgroups, confined so; on return it has become the program. StartError when
    it could not."""
    if container.status is not Status.RUNNING or container.init is None:
        raise MinirunError(f"container {container.name} is not running")
    if container.paused:
        raise MinirunError(f"Container {container.name} is paused, unpause the container before exec")
    target = processes.open_process(container.init.pid, container.init.started)
    if target is None:
        raise MinirunError(f"container {container.name} is not running")
    with ExitStack() as failed, ExitStack() as done:
        done.callback(os.close, target)
        line, theirs = socket.socketpair()
        error, error_fd = os.pipe()
        done.callback(os.close, error)
        stub = execution.sealed_stub()
        ours, stdio = ((), ()) if request.tty else _pipes(request)
        for fd in stdio if container.ids else ():
            program.give(fd, container.ids[0], container.ids[0])
        for end in (line, theirs):
            done.callback(end.close)
        for fd in ours:
            failed.callback(_close, fd)
        told, tell = os.pipe()
        done.callback(os.close, told)
        try:
            born_in, others = controllers.split(groups)
            helper = processes.fork(
                lambda: _help(container, request, target, others, theirs, stdio, error_fd, stub, confined, tell),
                lambda failure: theirs.sendall(b"E" + program.report(failure, CANNOT_INVOKE)),
                born_in,
            )
        finally:
            theirs.close()
            for fd in (error_fd, stub, tell, *stdio):
                os.close(fd)
        pid = _told(helper, told, line)
        failed.callback(_reap, pid)
        line.sendall(_KNOWN)
        joined = Joined(pid, os.pidfd_open(pid))
        failed.callback(os.close, joined.pidfd)
        if request.tty:
            joined.terminal = joined.stdin = _receive_terminal(line)
            failed.callback(os.close, joined.terminal)
            joined.outputs = {joined.terminal: 1}
        elif not request.detach:
            joined.stdin, joined.outputs = ours[0], {ours[1]: 1, ours[2]: 2}
        _check_exec(line, error, request)
        failed.pop_all()
        return joined


def _told(helper: int, told: int, line: socket.socket) -> int:
    """The pid of the process that the helper has made."""
    data = os.read(told, 4)
    os.waitpid(helper, 0)
    if data:
        return int.from_bytes(data, "little")
    said = line.recv(65536)
    raise (
        StartError(said[1], said[2:].decode("utf-8", "replace"))
        if said[:1] == b"E"
        else StartError(FAILED, "the process that was to join the container was killed")
    )


def _reap(pid: int) -> None:
    """Of one that failed: as long as it is a zombie its pid namespace, and with it the container, cannot end."""
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def _close(fd: int) -> None:
    if fd >= 0:
        os.close(fd)


def _pipes(request: Request) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """(our ends, the process's): standard input (-1 when it has none), output, error."""
    null = [os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)]
    if request.detach:
        return (), (null[0], os.dup(null[0]), os.dup(null[0]))
    stdin, our_stdin = os.pipe() if request.interactive else (null.pop(), -1)
    for fd in null:
        os.close(fd)
    (our_stdout, stdout), (our_stderr, stderr) = os.pipe(), os.pipe()
    return (our_stdin, our_stdout, our_stderr), (stdin, stdout, stderr)


def _help(
    container: Container,
    request: Request,
    target: int,
    groups: list[Path],
    line: socket.socket,
    stdio: tuple[int, ...],
    error_fd: int,
    stub: int,
    confined: Confinement,
    tell: int,
) -> int:
    """The helper, up to its end, and from where there are two of them, the new process, up to execve."""
    assert container.init is not None
    seam.be("helper")
    become_mapped = _mapped(target) if container.ids else _as_it_is
    credentials.hide_from_ptrace()
    processes.close_from(3, (target, line.fileno(), error_fd, stub, tell, *stdio))
    parent = os.getppid()
    program.set_bounds(container.spec.oom_score_adj, container.spec.ulimits)
    controllers.enter(groups)
    execution.import_no_more()
    namespaces.join_namespaces(container.init.pid, target)
    made = processes.clone_into(container.init.pid, target)
    if made:
        os.write(tell, made.to_bytes(4, "little"))
        return 0
    seam.be("new process")
    os.close(tell)
    if line.recv(1) == b"":  # nobody knows of this process
        return FAILED
    become_mapped()
    os.close(target)
    return _become(container, request, line, stdio, error_fd, stub, confined, parent)


def _mapped(target: int) -> Callable[[], None]:
    """To become root of the container's user namespace. Imported while the files are still the host's."""
    from minirun.kernel import userns

    def become() -> None:
        userns.userns_join(target)
        userns.root_become()

    return become


def _as_it_is() -> None: ...


def _become(
    container: Container,
    request: Request,
    line: socket.socket,
    stdio: tuple[int, ...],
    error_fd: int,
    stub: int,
    confined: Confinement,
    parent: int,
) -> int:
    if request.tty:
        _open_terminal(request, line)
    else:
        os.setsid()
        for number, fd in enumerate(stdio):
            os.dup2(fd, number)
    processes.join_session_keyring()
    env = {
        "PATH": program.DEFAULT_PATH,
        "HOSTNAME": socket.gethostname(),
        **({"TERM": "xterm"} if request.tty else {}),
        **dict(container.spec.env),
        **dict(request.env),
    }
    program.enter_workdir(request.workdir, make=False)
    spec, security = container.spec, container.spec.security
    capabilities = granted(security.cap_add, security.cap_drop, security.privileged or request.privileged)
    user = request.user or spec.user
    program.take_user(
        user, spec.groups, capabilities, env, (0, 1, 2), confined.system_calls, security.no_new_privileges
    )
    if not request.detach:
        credentials.die_with_parent(0 if container.spec.pid_mode != "host" else parent)
    path = program.find_program(request.argv[0], env)
    program.last_words()
    execution.exec_payload(stub, path, list(request.argv), env, error_fd, False, confined.profile)


def _open_terminal(request: Request, line: socket.socket) -> None:
    master, slave = terminal.open_pty()
    terminal.set_window_size(slave, *request.size)
    terminal.take_terminal(slave)
    for number in range(3):
        os.dup2(slave, number)
    send_with_fds(line, b"R", [master])
    os.close(master)
    os.close(slave)


def _receive_terminal(line: socket.socket) -> int:
    data, fds = receive_with_fds(line, 65536, 1)
    if data[:1] == b"E":
        raise StartError(data[1], data[2:].decode("utf-8", "replace"))
    if not fds:
        raise MinirunError("the process ended before it had a terminal", code=FAILED)
    return fds[0]


def _check_exec(line: socket.socket, error: int, request: Request) -> None:
    """End of file on the error pipe means that the exec worked; four bytes, or a message on the line, mean not."""
    failed = os.read(error, 4)
    if failed:
        raise program.execve_failed(int.from_bytes(failed, "little"), request.argv[0])
    data = line.recv(65536)
    if data[:1] == b"E":
        raise StartError(data[1], data[2:].decode("utf-8", "replace"))
