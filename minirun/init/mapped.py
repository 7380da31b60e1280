"""The first process of a container with a user namespace of its own: root inside, an ordinary id on the host.

It has no rights outside, so it cannot build the container's tree. Two other processes come first, and both have ended
when the program begins:

    shim                a helper                    the builder                     the first process
    forks         -->   cgroup, limits; joins the
                        user and net namespaces,
                        is root there
    reads its pid <--   makes it, ends                                        -->   waits
    forks         --------------------------->      joins all but its user
                                                    and mount namespaces
                                                    builds the tree, ends     -->   makes the tree its root
                                                                                    (then as in first_process.py)

The builder is the host's root, so it can mount proc, sysfs, devices and binds as for any other container. What it
creates belongs to the container's root (fsids_set), and the host's files appear through mounts that map their ids.
"""

import os
import socket
from dataclasses import dataclass
from pathlib import Path

from minirun.errors import FAILED, MinirunError
from minirun.init import first_process, program, rootfs
from minirun.init.plan import Plan
from minirun.init.program import ChildFiles
from minirun.kernel import cgroups, credentials, namespaces, processes, seam, userns
from minirun.kernel.mount_namespace import root_take, tree_of_root
from minirun.kernel.sockets import receive_with_fds, send_with_fds

_TREE = b"T"  # from the builder, with the tree as a descriptor
_PID = b"P"  # from the helper, with the first process's pid


@dataclass(frozen=True)
class Ends:
    """What the first process shares with the shim (the builder uses the line too), and pidfds of whose namespaces to
    join, -1 for none."""

    files: ChildFiles
    pid_of: int
    ipc_of: int


def spawn(plan: Plan, ends: Ends) -> tuple[int, int, int]:
    """Make the first process and its builder, as children of the caller.

    Returns the first process's pid and pidfd, and the builder's pidfd. MinirunError when the helper failed.
    """
    for fd in ends.files.stdio:
        program.chown_stream(fd, plan.ids[0], plan.ids[0])
    tree_receiver, tree_sender = socket.socketpair()
    with tree_receiver, tree_sender:
        pid = _spawn_first(plan, ends, tree_receiver)
        pidfd = os.pidfd_open(pid)
        return pid, pidfd, _spawn_builder(plan, ends, tree_sender, pid, pidfd)


def _spawn_first(plan: Plan, ends: Ends, tree_receiver: socket.socket) -> int:
    read_end, pid_pipe = os.pipe()
    with open(read_end, "rb") as reply:
        helper, pidfd = processes.clone_with_mounts(Path(plan.cgroup) if plan.cgroup else None)
        if helper == 0:
            processes.live(
                lambda: _help(plan, ends, tree_receiver, pid_pipe),
                lambda error: _report(pid_pipe, error),
            )
        os.close(pid_pipe)
        os.close(pidfd)
        message = reply.read()
    os.waitpid(helper, 0)
    if message[:1] == _PID:
        return int.from_bytes(message[1:], "little")
    failure = program.parse_failure(message)
    text = failure.text if failure else "the process that was to make the container's first one was killed"
    raise MinirunError(text, code=FAILED)


def _report(pid_pipe: int, error: BaseException) -> None:
    os.write(pid_pipe, program.failure_message(error, FAILED))


def _help(plan: Plan, ends: Ends, tree_receiver: socket.socket, pid_pipe: int) -> int:
    """The helper up to its end, and, once it has forked, the first process."""
    seam.be("helper")
    kept = (tree_receiver.fileno(), *ends.files.descriptors)
    processes.close_from(3, (pid_pipe, ends.pid_of, ends.ipc_of, *kept))
    credentials.hide_from_ptrace()
    first_process.set_limits(plan)
    owner = userns.userns_of(plan.netns)
    namespaces.join_netns(plan.netns)  # while it may still look where the pin is
    userns.userns_join(owner)
    if plan.cgroup and not plan.cgroup_host:
        cgroups.unshare_cgroup()
    if ends.ipc_of >= 0:
        namespaces.join_ipc_namespace(ends.ipc_of)
    if ends.pid_of >= 0:
        namespaces.join_pid_namespace(plan.pid_of[0], ends.pid_of)
    userns.root_become()
    pid = processes.clone_sibling(
        processes.NEW_MOUNTS
        | processes.NEW_UTS
        | (0 if plan.pid_of else processes.NEW_PID)
        | (0 if plan.ipc_of else processes.NEW_IPC)
    )
    if pid:
        os.write(pid_pipe, _PID + pid.to_bytes(4, "little"))
        return 0
    first_process.first_process(plan, ends.files, 0, lambda: _take_tree(plan, tree_receiver), (tree_receiver.fileno(),))
    return FAILED


def _take_tree(plan: Plan, tree_receiver: socket.socket) -> None:
    first_process.set_sysctls(plan)
    data, fds = receive_with_fds(tree_receiver, 1, 1)
    if data != _TREE or not fds:
        os._exit(FAILED)  # the builder has sent the reason
    root_take(fds[0])
    tree_receiver.close()


def _spawn_builder(plan: Plan, ends: Ends, tree_sender: socket.socket, pid: int, pidfd: int) -> int:
    namespaces.join_pid_namespace(pid, pidfd)
    try:
        builder, builder_pidfd = processes.clone_with_mounts(None)
    finally:
        namespaces.leave_pid_namespace()
    if builder == 0:
        processes.live(
            lambda: _build(plan, ends, tree_sender, pid, pidfd),
            lambda error: ends.files.line.sendall(program.failure_message(error, FAILED)),
        )
    return builder_pidfd


def _build(plan: Plan, ends: Ends, tree_sender: socket.socket, pid: int, pidfd: int) -> int:
    seam.be("builder")
    processes.close_from(3, (tree_sender.fileno(), ends.files.line.fileno(), pidfd, ends.ipc_of))
    credentials.hide_from_ptrace()
    credentials.die_with_parent(0)
    owner = userns.userns_of(plan.netns)
    namespaces.join_all_but_mounts(pid, pidfd)
    first_process.set_names(plan)
    userns.fsids_set(plan.ids[0], plan.ids[0])
    rootfs.build(plan, ends.ipc_of, owner)
    send_with_fds(tree_sender, _TREE, [tree_of_root()])
    return 0
