"""Joining the namespaces of other processes (setns(2), namespaces(7)). Network namespaces: netns.py."""

import os

from minirun.kernel import netlink_sockets
from minirun.kernel.netns import netns_open
from minirun.kernel.seam import shell
from minirun.kernel.syscalls import check, lib

_ALL_BUT_MOUNTS = lib.CLONE_NEWUTS | lib.CLONE_NEWIPC | lib.CLONE_NEWNET | lib.CLONE_NEWCGROUP


_NAMES = {
    "mnt": lib.CLONE_NEWNS,
    "net": lib.CLONE_NEWNET,
    "uts": lib.CLONE_NEWUTS,
    "ipc": lib.CLONE_NEWIPC,
    "cgroup": lib.CLONE_NEWCGROUP,
    "time": lib.CLONE_NEWTIME,
    "pid": lib.CLONE_NEWPID,
}


def differing(pid: int) -> int:
    """In which kinds of namespaces a process is not where the caller is: a mask of CLONE_NEW* (namespaces(7))."""
    mask = 0
    for name, flag in _NAMES.items():
        try:
            if os.readlink(f"/proc/{pid}/ns/{name}") != os.readlink(f"/proc/self/ns/{name}"):
                mask |= flag
        except FileNotFoundError:  # the kernel has no such namespaces
            pass
    return mask


@shell("nsenter --target {pid} --root --wd ...")
def become_neighbour(pid: int, pidfd: int, namespaces: int, root: int, directory: int) -> None:
    """Join these namespaces of a process, and take its root and working directory, given as descriptors.

    For the pid namespace this counts for children (see `processes.clone_sibling`).
    """
    netlink_sockets.close_all()
    if namespaces:
        check(lib.sys_setns(pidfd, namespaces))
    os.fchdir(root)
    os.chroot(".")
    os.fchdir(directory)


@shell("domainname {name}")
def domainname_set(name: str) -> None:
    """Set the NIS domain name of the UTS namespace (setdomainname(2)).

    Not by kernel.domainname, which only the machine's root may write.
    """
    text = os.fsencode(name)
    check(lib.sys_setdomainname(text, len(text)))


@shell("nsenter --net=/run/netns/{name}")
def join_netns(name: str) -> None:
    """Join the network namespace pinned under that name (setns(2))."""
    netlink_sockets.close_all()
    fd = netns_open(name)
    try:
        check(lib.sys_setns(fd, lib.CLONE_NEWNET), name)
    finally:
        os.close(fd)


@shell("# setns(2): into the IPC namespace of another container")
def join_ipc_namespace(pidfd: int) -> None:
    """Join the IPC namespace of the process of a pidfd."""
    check(lib.sys_setns(pidfd, lib.CLONE_NEWIPC))


@shell("nsenter --target {pid} --pid")
def join_pid_namespace(pid: int, pidfd: int) -> None:
    """Put children made from now on into the pid namespace of `pid`; the caller itself stays."""
    check(lib.sys_setns(pidfd, lib.CLONE_NEWPID))


def leave_pid_namespace() -> None:
    """Put children made from now on into the caller's own pid namespace again."""
    fd = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
    try:
        check(lib.sys_setns(fd, lib.CLONE_NEWPID))
    finally:
        os.close(fd)


@shell("nsenter --target {pid} --mount --uts --ipc --net")
def join_namespaces(pid: int, pidfd: int) -> None:
    """Join all namespaces of a process but those of pids, users and cgroups."""
    netlink_sockets.close_all()
    check(lib.sys_setns(pidfd, _ALL_BUT_MOUNTS & ~lib.CLONE_NEWCGROUP | lib.CLONE_NEWNS))


@shell("nsenter --target {pid} --cgroup")
def join_cgroup_namespace(pid: int, pidfd: int) -> None:
    """Join the cgroup namespace of a process. From within it, a process may not be made in a group outside
    (cgroup_namespaces(7), nsdelegate)."""
    check(lib.sys_setns(pidfd, lib.CLONE_NEWCGROUP))


@shell("nsenter --target {pid} --uts --ipc --net --cgroup")
def join_all_but_mounts(pid: int, pidfd: int) -> None:
    """The same without its mount namespace."""
    netlink_sockets.close_all()
    check(lib.sys_setns(pidfd, _ALL_BUT_MOUNTS))
