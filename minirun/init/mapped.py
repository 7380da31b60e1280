"""The first process of a container in a user namespace of its own: root there, and nobody on the host.

It has no rights outside, so it could not build the container's tree. Two others come before it, and both have ended
when the program begins:

    monitor             a helper                    the builder                     the first process
    forks         -->   cgroup, limits; joins the
                        user and net namespaces,
                        is root there
    is told pid   <--   makes it, ends                                        -->   waits
    forks         --------------------------->      joins all but its user
                                                    and mount namespaces
                                                    builds the tree, ends     -->   makes the tree its root
                                                                                    (from here on as in start.py)

The builder is the host's root, so proc, sysfs, devices and binds come about as in any other container. What it makes
belongs to the container's root (fsids_set), and the host's files are seen through mounts that translate their ids.
"""

import os
import socket
from dataclasses import dataclass
from pathlib import Path

from minirun.errors import FAILED, MinirunError
from minirun.init import program, rootfs, start
from minirun.init.plan import Plan
from minirun.kernel import credentials, namespaces, processes, seam, userns
from minirun.kernel.mount_namespace import root_take, tree_of_root
from minirun.kernel.sockets import receive_with_fds, send_with_fds

_TREE = b"T"


@dataclass(frozen=True)
class Ends:
    """The first process's ends of what it shares with the monitor, and pidfds of whose namespaces it joins, or -1."""

    line: socket.socket  # the builder speaks on it, too
    stdio: tuple[int, ...]
    error: int
    stub: int
    pid_of: int
    ipc_of: int


def spawn(plan: Plan, ends: Ends) -> tuple[int, int, int]:
    """(pid, pidfd, pidfd of the builder), of children of the caller's."""
    for fd in ends.stdio:
        program.give(fd, plan.ids[0], plan.ids[0])
    taking, giving = socket.socketpair()
    with taking, giving:
        pid = _spawn_first(plan, ends, taking)
        pidfd = os.pidfd_open(pid)
        return pid, pidfd, _spawn_builder(plan, ends, giving, pid, pidfd)


def _spawn_first(plan: Plan, ends: Ends, taking: socket.socket) -> int:
    told, tell = os.pipe()
    with open(told, "rb") as word:
        helper, pidfd = processes.clone_container(Path(plan.cgroup) if plan.cgroup else None, 0)
        if helper == 0:
            processes.live(lambda: _help(plan, ends, taking, tell), lambda error: _tell(tell, error))
        os.close(tell)
        os.close(pidfd)
        said = word.read()
    os.waitpid(helper, 0)
    if said[:1] != b"P":
        text = said[1:].decode("utf-8", "replace")
        raise MinirunError(text or "the process that was to make the container's first one was killed", code=FAILED)
    return int.from_bytes(said[1:], "little")


def _tell(tell: int, error: BaseException) -> None:
    os.write(tell, b"E" + program.report(error, FAILED)[1:])


def _help(plan: Plan, ends: Ends, taking: socket.socket, tell: int) -> int:
    """The helper, up to its end; and from where there are two of them, the first process."""
    seam.be("helper")
    kept = (taking.fileno(), ends.line.fileno(), ends.error, ends.stub, *ends.stdio)
    processes.close_from(3, (tell, ends.pid_of, ends.ipc_of, *kept))
    credentials.hide_from_ptrace()
    start.bounds(plan)
    userns.userns_join(userns.userns_of(plan.netns))
    namespaces.join_netns(plan.netns)
    if plan.cgroup and not plan.cgroup_host:
        namespaces.unshare_cgroup()
    if ends.ipc_of >= 0:
        namespaces.join_ipc_namespace(ends.ipc_of)
    if ends.pid_of >= 0:
        namespaces.join_pid_namespace(plan.pid_of[0], ends.pid_of)
    userns.root_become()
    made = processes.clone_sibling(
        processes.NEW_MOUNTS
        | processes.NEW_UTS
        | (0 if plan.pid_of else processes.NEW_PID)
        | (0 if plan.ipc_of else processes.NEW_IPC)
    )
    if made:
        os.write(tell, b"P" + made.to_bytes(4, "little"))
        return 0
    start.first_process(
        plan, ends.line, ends.stdio, ends.error, ends.stub, 0, lambda: _take_tree(plan, taking), (taking.fileno(),)
    )
    return FAILED


def _take_tree(plan: Plan, taking: socket.socket) -> None:
    start.sysctls(plan)
    data, fds = receive_with_fds(taking, 1, 1)
    if data != _TREE or not fds:
        os._exit(FAILED)  # the builder has said why
    root_take(fds[0])
    taking.close()


def _spawn_builder(plan: Plan, ends: Ends, giving: socket.socket, pid: int, pidfd: int) -> int:
    namespaces.join_pid_namespace(pid, pidfd)
    try:
        builder, own = processes.clone_container(None, 0)
    finally:
        namespaces.leave_pid_namespace()
    if builder == 0:
        processes.live(
            lambda: _build(plan, ends, giving, pid, pidfd),
            lambda error: ends.line.sendall(start.FAILURE + program.report(error, FAILED)),
        )
    return own


def _build(plan: Plan, ends: Ends, giving: socket.socket, pid: int, pidfd: int) -> int:
    seam.be("builder")
    processes.close_from(3, (giving.fileno(), ends.line.fileno(), pidfd, ends.ipc_of))
    credentials.hide_from_ptrace()
    credentials.die_with_parent(0)
    owner = userns.userns_of(plan.netns)
    namespaces.join_all_but_mounts(pid, pidfd)
    start.names(plan)
    userns.fsids_set(plan.ids[0], plan.ids[0])
    rootfs.build(plan, ends.ipc_of, owner)
    send_with_fds(giving, _TREE, [tree_of_root()])
    return 0
