"""A container's first process up to execve: build the tree, wait for the network, drop privileges, become the program.

It talks to the shim over one socket, the line. It sends READY (with the master of the terminal, if it has one) or a
FAILURE, and waits for one byte: the network is set up. End of file means that the shim is gone.
"""

import os
import socket
from collections.abc import Callable
from pathlib import Path

from minirun.errors import FAILED
from minirun.init import program, rootfs
from minirun.init.plan import Plan
from minirun.init.program import ChildFiles
from minirun.kernel import cgroups, controllers, credentials, execution, namespaces, processes, seam, terminal
from minirun.kernel.sockets import send_with_fds
from minirun.kernel.sysctl import sysctl_write


def first_process(
    plan: Plan, files: ChildFiles, parent: int, prepare: Callable[[], None], kept: tuple[int, ...] = ()
) -> None:
    """The whole life of the first process; never returns.

    `parent` is the shim's pid as getppid shows it here: 0 from another pid namespace. `prepare` enters the namespaces
    and the tree; `kept` are the descriptors that it needs.
    """
    seam.be("first process")
    try:
        if not plan.tty:
            os.setsid()
        processes.close_from(3, (*files.descriptors, *kept))
        credentials.hide_from_ptrace()
        prepare()
        execution.import_no_more()
        _become_program(plan, files, parent)
    except BaseException as error:  # noqa: BLE001 - a traceback would open files by path, inside the image
        files.line.sendall(program.failure_message(error, FAILED))
    finally:
        os._exit(FAILED)


def prepare(plan: Plan, ipc_of: int) -> None:
    """Enter the namespaces and build the tree. `ipc_of` is a pidfd whose IPC namespace to join, or -1."""
    set_limits(plan)
    if plan.cgroup and not plan.cgroup_host:
        cgroups.unshare_cgroup()
    if plan.netns:
        namespaces.join_netns(plan.netns)
    if ipc_of >= 0:
        namespaces.join_ipc_namespace(ipc_of)
    set_names(plan)
    set_sysctls(plan)
    rootfs.build(plan, ipc_of)


def set_limits(plan: Plan) -> None:
    """Join the v1 groups of its limits, and set per-process limits, while /proc is still the host's."""
    controllers.enter([Path(path) for path in plan.limit_groups if path != plan.cgroup])
    program.set_limits(plan.oom_score_adj, plan.ulimits)


def set_names(plan: Plan) -> None:
    """Set host name and domain name of the UTS namespace."""
    if plan.hostname:
        socket.sethostname(plan.hostname)
    if plan.domainname:
        namespaces.domainname_set(plan.domainname)


def set_sysctls(plan: Plan) -> None:
    """Write --sysctl values of IPC; network/sysctls.py has the others.

    /proc/sys shows each process its own namespaces' values, whichever /proc it is.
    The caller must be root of the user namespace that owns the others: only that root may write those of SysV IPC.
    """
    for name, value in plan.sysctls:
        try:
            sysctl_write(name, value)
        except OSError as error:
            raise program.StartError(FAILED, f"--sysctl {name}={value}: {error.strerror}") from None


def _become_program(plan: Plan, files: ChildFiles, parent: int) -> None:
    _attach_stdio(plan, files)
    processes.join_session_keyring()
    if files.line.recv(1) == b"":
        os._exit(FAILED)
    env = program.environment(plan.tty, plan.env)
    program.enter_workdir(plan.workdir, make=True)
    program.drop_privileges(
        plan.user, plan.groups, plan.capabilities, env, (0, 1, 2), plan.seccomp, plan.no_new_privileges
    )
    credentials.die_with_parent(parent)
    path = program.find_program(plan.argv[0], env)
    program.prepare_exec()
    execution.exec_payload(files.stub, path, list(plan.argv), env, files.error, plan.init, plan.apparmor)


def _attach_stdio(plan: Plan, files: ChildFiles) -> None:
    if not plan.tty:
        for target, fd in enumerate(files.stdio):
            os.dup2(fd, target)
        files.line.sendall(program.READY)
        return
    master, slave = terminal.open_pty()
    rootfs.console(slave)
    terminal.set_window_size(slave, plan.rows, plan.columns)
    terminal.take_terminal(slave)
    for target in range(3):
        os.dup2(slave, target)
    os.close(slave)
    send_with_fds(files.line, program.READY, [master])
    os.close(master)
