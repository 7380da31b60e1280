"""exec's side inside: the helper that joins the container's namespaces, and the new process up to execve.

The dance, and why the helper exists, is told in engine/exec.py.
"""

import os
import pickle
import socket
from dataclasses import dataclass
from pathlib import Path

from minirun.errors import CANNOT_INVOKE, FAILED
from minirun.init import prepared, program
from minirun.init.handover import hand_over, receive_files, receive_plan
from minirun.init.program import ChildFiles
from minirun.kernel import controllers, credentials, execution, namespaces, processes, seam, terminal, userns
from minirun.kernel.credentials import granted
from minirun.kernel.sockets import send_with_fds
from minirun.model import Container
from minirun.security.confinement import Confinement


@dataclass(frozen=True)
class ExecRequest:
    """What exec was asked for. `size` is the terminal's, as rows and columns."""

    argv: tuple[str, ...]
    env: tuple[tuple[str, str], ...] = ()
    workdir: str = "/"
    user: str = ""
    privileged: bool = False
    tty: bool = False
    interactive: bool = False
    detach: bool = False
    size: tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class ExecPlan:
    """What the new process needs to know; `groups` are the container's cgroups."""

    container: Container
    request: ExecRequest
    confined: Confinement
    groups: tuple[Path, ...]


class ExecHelper:
    """The helper, which waits for its plan, as the command sees it. For one process."""

    def __init__(self, is_claimed: bool = False) -> None:
        """Fork it, or with `is_claimed` take the one that waits for this command, if there is one.

        It is a child of the caller, which must be single-threaded.
        """
        claimed = prepared.claim(prepared.EXEC) if is_claimed else None
        if claimed:
            self._pid, fd = claimed
            self._channel = socket.socket(fileno=fd)
        else:
            self._channel, theirs = socket.socketpair()
            self._pid = processes.fork(lambda: _wait(theirs), lambda error: None)
            theirs.close()

    def make(self, plan: ExecPlan, files: ChildFiles, target: int) -> tuple[int, list[int]]:
        """Have it make the new process, a child of the caller, in the container whose first process `target` is a pidfd
        of.

        Returns the new process's pid, and those of the helpers, which end when it has executed its program. The pid is
        0 when there is none, and the line has the reason unless the helper was killed.
        """
        with self._channel as channel:
            try:
                hand_over(channel, pickle.dumps(plan), [target], list(files.descriptors))
            except ConnectionError:
                return 0, [self._pid]
            second = processes.read_pid(channel.fileno()) if controllers.split(plan.groups)[0] else 0
            pid = processes.read_pid(channel.fileno())
        # Told of the second helper twice: it has ended without making a process.
        return 0 if pid == second else pid, [self._pid, second] if second else [self._pid]


def serve_exec(fd: int) -> None:
    """Be the helper that waits for a plan on the socket `fd`. End of file: none is needed."""
    processes.live(lambda: _wait(socket.socket(fileno=fd)), lambda error: None)


def _wait(channel: socket.socket) -> int:
    seam.be("helper")
    processes.close_from(3, (channel.fileno(),))
    received = receive_plan(channel)
    if received is None:
        return 0
    data, (target,) = received
    plan: ExecPlan = pickle.loads(data)  # of the command itself
    files: list[ChildFiles] = []
    try:
        return _help(plan, channel, target, files)
    except BaseException as error:  # noqa: BLE001 - it ends here in any case
        if not files:
            files.append(_receive_files(channel))
        files[0].line.sendall(program.failure_message(error, CANNOT_INVOKE))
        return FAILED


def _receive_files(channel: socket.socket) -> ChildFiles:
    line, error, stub, *streams = receive_files(channel)
    return ChildFiles(socket.socket(fileno=line), tuple(streams), error, stub)


def _help(plan: ExecPlan, channel: socket.socket, target: int, received: list[ChildFiles]) -> int:
    """The helper, which goes on as the new process, up to execve. `received` gets that one's files."""
    container = plan.container
    assert container.init is not None
    credentials.hide_from_ptrace()
    parent = os.getppid()
    born_in, others = controllers.split(plan.groups)
    program.set_limits(container.spec.oom_score_adj, container.spec.ulimits)
    controllers.enter(others)
    execution.import_no_more()
    # In two steps: a process in the container must not have a directory of the host's cgroups open.
    if born_in:
        processes.go_on_in_group(born_in, channel.fileno())
    namespaces.join_namespaces(container.init.pid, target)
    processes.go_on_in(container.init.pid, target, channel.fileno())
    seam.be("new process")
    files = _receive_files(channel)
    received.append(files)
    channel.close()
    namespaces.join_cgroup_namespace(container.init.pid, target)
    if files.line.recv(1) == b"":  # the command is gone: nobody knows of this process
        return FAILED
    if container.ids:
        userns.userns_join(target)
        userns.root_become()
    os.close(target)
    return _become_program(plan, files, parent)


def _become_program(plan: ExecPlan, files: ChildFiles, parent: int) -> int:
    request, spec, security = plan.request, plan.container.spec, plan.container.spec.security
    if request.tty:
        _open_terminal(request, files)
    else:
        os.setsid()
        for number, fd in enumerate(files.stdio):
            os.dup2(fd, number)
    processes.join_session_keyring()
    env = program.environment(request.tty, spec.env, request.env)
    program.enter_workdir(request.workdir, make=False)
    capabilities = granted(security.cap_add, security.cap_drop, security.privileged or request.privileged)
    user, filters = request.user or spec.user, plan.confined.system_calls
    program.drop_privileges(user, spec.groups, capabilities, env, (0, 1, 2), filters, security.no_new_privileges)
    if not request.detach:
        credentials.die_with_parent(parent if os.getppid() else 0)  # 0: from another pid namespace
    path = program.find_program(request.argv[0], env)
    program.prepare_exec()
    execution.exec_payload(files.stub, path, list(request.argv), env, files.error, False, plan.confined.profile)


def _open_terminal(request: ExecRequest, files: ChildFiles) -> None:
    master, slave = terminal.open_pty()
    terminal.set_window_size(slave, *request.size)
    terminal.take_terminal(slave)
    for number in range(3):
        os.dup2(slave, number)
    send_with_fds(files.line, program.READY, [master])
    os.close(master)
    os.close(slave)
