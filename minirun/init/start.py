"""pid 1 of a container up to execve: build the tree, wait for the network, drop everything, become the program.

It talks to the monitor over one socket: `R` ready (with the terminal's master, if there is one), `E` code and text
for a failure; and waits there for one byte: the network is wired. End of file means that the monitor is gone.
"""

import os
import socket

from minirun.errors import FAILED
from minirun.init import program, rootfs
from minirun.kernel import credentials, processes, terminal
from minirun.kernel.sockets import send_with_fds
from minirun.plan import Plan

READY, FAILURE = b"R", b"E"


def first_process(plan: Plan, line: socket.socket, stdio: tuple[int, ...], error_fd: int, stub: int) -> None:
    """Never returns. `stdio` are the container's ends of three pipes, or () with a terminal."""
    try:
        _start(plan, line, stdio, error_fd, stub)
    except BaseException as error:  # noqa: BLE001 - a traceback would open files by path, inside the image
        line.sendall(FAILURE + program.report(error))
    finally:
        os._exit(FAILED)


def _start(plan: Plan, line: socket.socket, stdio: tuple[int, ...], error_fd: int, stub: int) -> None:
    if not plan.tty:
        os.setsid()
    processes.close_from(3, (line.fileno(), error_fd, stub, *stdio))
    credentials.hide_from_ptrace()
    if plan.cgroup:
        processes.unshare_cgroup()
    if plan.netns:
        processes.join_netns(plan.netns)
    if plan.hostname:
        rootfs.set_hostname(plan.hostname)
    rootfs.build(plan)
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
    program.enter_workdir(plan.workdir)
    program.take_user(plan.user, credentials.DEFAULT_CAPABILITIES, env, (0, 1, 2))
    credentials.die_with_parent(0)
    path = program.find_program(plan.argv[0], env)
    program.last_words()
    processes.exec_payload(stub, path, list(plan.argv), env, error_fd, plan.init)


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
