"""exec's side inside: the helper that joins the container's namespaces, and the new process up to execve.

The dance, and why the helper exists, is told in engine/exec.py.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from minirun.errors import CANNOT_INVOKE, FAILED
from minirun.init import program
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
    """What the new process needs to know."""

    container: Container
    request: ExecRequest
    confined: Confinement
    files: ChildFiles


def spawn_helper(plan: ExecPlan, target: int, groups: list[Path], pid_pipe: int) -> int:
    """Fork the helper, in the container's cgroups, and return its pid.

    `target` is a pidfd of the container's first process. The helper writes the pid of the new process, a child of the
    caller, to `pid_pipe` as four bytes, little-endian; on failure it sends a FAILURE on the line instead.
    """
    born_in, others = controllers.split(groups)
    return processes.fork(
        lambda: _help(plan, target, others, pid_pipe),
        lambda error: plan.files.line.sendall(program.failure_message(error, CANNOT_INVOKE)),
        born_in,
    )


def _help(plan: ExecPlan, target: int, groups: list[Path], pid_pipe: int) -> int:
    """The helper up to its end, and, once it has forked, the new process up to execve."""
    container = plan.container
    assert container.init is not None
    seam.be("helper")
    credentials.hide_from_ptrace()
    processes.close_from(3, (target, pid_pipe, *plan.files.descriptors))
    parent = os.getppid()
    program.set_limits(container.spec.oom_score_adj, container.spec.ulimits)
    controllers.enter(groups)
    execution.import_no_more()
    namespaces.join_namespaces(container.init.pid, target)
    pid = processes.clone_into(container.init.pid, target)
    if pid:
        os.write(pid_pipe, pid.to_bytes(4, "little"))
        return 0
    seam.be("new process")
    os.close(pid_pipe)
    if plan.files.line.recv(1) == b"":  # the command is gone: nobody knows of this process
        return FAILED
    if container.ids:
        userns.userns_join(target)
        userns.root_become()
    os.close(target)
    return _become_program(plan, parent)


def _become_program(plan: ExecPlan, parent: int) -> int:
    request, spec, security, files = plan.request, plan.container.spec, plan.container.spec.security, plan.files
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
