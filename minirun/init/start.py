"""pid 1 of a container up to execve: build the tree, wait for the network, drop everything, become the program.

It talks to the monitor over one socket: `R` ready (with the terminal's master, if there is one), `E` code and text
for a failure; and waits there for one byte: the network is wired. End of file means that the monitor is gone.
"""

import os
import socket
from collections.abc import Callable
from pathlib import Path

from minirun.errors import FAILED
from minirun.init import program, rootfs
from minirun.init.plan import Plan
from minirun.kernel import controllers, credentials, execution, namespaces, processes, seam, terminal
from minirun.kernel.sockets import send_with_fds
from minirun.kernel.sysctl import sysctl_write

READY, FAILURE = b"R", b"E"


def first_process(
    plan: Plan,
    line: socket.socket,
    stdio: tuple[int, ...],
    error_fd: int,
    stub: int,
    parent: int,
    prepare: Callable[[], None],
    kept: tuple[int, ...] = (),
) -> None:
    """Never returns. `stdio` are the container's ends of three pipes, or () with a terminal. `parent` is the monitor
    as getppid will show it. `prepare` brings it into its namespaces and its tree; `kept` are descriptors that this
    needs."""
    seam.be("first process")
    try:
        if not plan.tty:
            os.setsid()
        processes.close_from(3, (line.fileno(), error_fd, stub, *kept, *stdio))
        credentials.hide_from_ptrace()
        prepare()
        execution.import_no_more()
        _become_program(plan, line, stdio, error_fd, stub, parent)
    except BaseException as error:  # noqa: BLE001 - a traceback would open files by path, inside the image
        line.sendall(FAILURE + program.report(error, FAILED))
    finally:
        os._exit(FAILED)


def prepare(plan: Plan, ipc_of: int) -> None:
    """`ipc_of` is the pidfd of whose IPC namespace to join, or -1."""
    bounds(plan)
    if plan.cgroup and not plan.cgroup_host:
        namespaces.unshare_cgroup()
    if plan.netns:
        namespaces.join_netns(plan.netns)
    if ipc_of >= 0:
        namespaces.join_ipc_namespace(ipc_of)
    names(plan)
    sysctls(plan)
    rootfs.build(plan, ipc_of)


def bounds(plan: Plan) -> None:
    """While the host's /proc is still the one that is seen."""
    controllers.enter([Path(path) for path in plan.limit_groups if path != plan.cgroup])
    program.set_bounds(plan.oom_score_adj, plan.ulimits)


def names(plan: Plan) -> None:
    if plan.hostname:
        rootfs.set_hostname(plan.hostname)
    if plan.domainname:
        sysctl_write("kernel.domainname", plan.domainname)


def sysctls(plan: Plan) -> None:
    """As root of the user namespace that owns the others: of those of SysV IPC nobody else may write any."""
    for name, value in plan.sysctls:
        _write_sysctl(name, value)


def _become_program(
    plan: Plan, line: socket.socket, stdio: tuple[int, ...], error_fd: int, stub: int, parent: int
) -> None:
    _attach_stdio(plan, line, stdio)
    processes.join_session_keyring()
    if line.recv(1) == b"":
        os._exit(FAILED)
    env = {
        "PATH": program.DEFAULT_PATH,
        "HOSTNAME": socket.gethostname(),
        **({"TERM": "xterm"} if plan.tty else {}),
    }
    env |= dict(plan.env)
    program.enter_workdir(plan.workdir, make=True)
    program.take_user(plan.user, plan.groups, plan.capabilities, env, (0, 1, 2), plan.seccomp, plan.no_new_privileges)
    credentials.die_with_parent(parent)
    path = program.find_program(plan.argv[0], env)
    program.last_words()
    execution.exec_payload(stub, path, list(plan.argv), env, error_fd, plan.init, plan.apparmor)


def _write_sysctl(name: str, value: str) -> None:
    """/proc/sys shows each process its own namespaces' values, whoever's /proc it is."""
    try:
        sysctl_write(name, value)
    except OSError as error:
        raise program.StartError(FAILED, f"--sysctl {name}={value}: {error.strerror}") from None


def _attach_stdio(plan: Plan, line: socket.socket, stdio: tuple[int, ...]) -> None:
    if not plan.tty:
        for target, fd in enumerate(stdio):
            os.dup2(fd, target)
        line.sendall(READY)
        return
    master, slave = terminal.open_pty()
    rootfs.console(slave)
    terminal.set_window_size(slave, plan.rows, plan.columns)
    terminal.take_terminal(slave)
    for target in range(3):
        os.dup2(slave, target)
    os.close(slave)
    send_with_fds(line, READY, [master])
    os.close(master)
