"""User namespaces: ids inside that are other ids outside, and mounts that translate them (user_namespaces(7),
mount_setattr(2): MOUNT_ATTR_IDMAP).

A user namespace lives as long as the namespaces that it owns. A container's owns its pinned network namespace, so it
needs no pin of its own: it is found through that one (ioctl_nsfs(2)).
"""

import errno
import fcntl
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import prctl

from minirun.kernel import processes
from minirun.kernel.mount_namespace import namespace_root_enter
from minirun.kernel.netns import netns_open, netns_pin
from minirun.kernel.seam import shell
from minirun.kernel.syscalls import check, lib

_NS_GET_USERNS = 0xB701


@shell("unshare --user --map-users=0,{first},{count} --map-groups=0,{first},{count} --net=/run/netns/{name} true")
def netns_add_mapped(name: str, first: int, count: int) -> None:
    """Make a user namespace, and a network namespace that it owns and that is pinned as `name`.

    Ids from 0 up are `first` and up outside, `count` of them. Raises FileExistsError when the name is taken.
    """

    def make() -> None:
        namespace_root_enter()  # the kernel makes none in a chroot
        check(lib.sys_unshare(lib.CLONE_NEWUSER | lib.CLONE_NEWNET))

    with _held_by_child(make) as pid:
        for kind in ("uid_map", "gid_map"):
            Path(f"/proc/{pid}/{kind}").write_text(f"0 {first} {count}\n")
        netns_pin(f"/proc/{pid}/ns/net", name)


@shell("# unshare(2): a network namespace {name} in the user namespace of {owner}")
def netns_add_beside(name: str, owner: str) -> None:
    """Make a network namespace pinned as `name` in the user namespace that owns the one pinned as `owner`."""
    fd = userns_of(owner)

    def make() -> None:
        userns_join(fd)
        check(lib.sys_unshare(lib.CLONE_NEWNET))

    try:
        with _held_by_child(make) as pid:
            netns_pin(f"/proc/{pid}/ns/net", name)
    finally:
        os.close(fd)


def userns_of(name: str) -> int:
    """A descriptor of the user namespace that owns the network namespace pinned as `name`."""
    fd = netns_open(name)
    try:
        return fcntl.ioctl(fd, _NS_GET_USERNS)
    finally:
        os.close(fd)


@shell("# setns(2): into the user namespace")
def userns_join(fd: int) -> None:
    """Join the user namespace of `fd`, or of the process of a pidfd: with all capabilities there, and none outside.

    There is no way back. The ids stay what they were outside; `root_become` takes new ones.
    """
    check(lib.sys_setns(fd, lib.CLONE_NEWUSER))


def root_become() -> None:
    """Take the ids of root in the current user namespace."""
    os.setgroups([])
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)


@shell("# setfsuid(2): files are made as {uid}:{gid}")
def fsids_set(uid: int, gid: int) -> None:
    """Let new files belong to these ids, while the process keeps its capabilities (setfsuid(2))."""
    prctl.securebits.no_setuid_fixup = True
    check(lib.sys_setfsids(uid, gid))


@shell("# mount_setattr(2): the copy of {shown} shows ids as the user namespace does (X-mount.idmap)")
def tree_idmap(tree: int, userns: int, shown: str) -> None:
    """Let a detached tree show the ids of its files as that user namespace maps them, and map ids of new files back.

    Nothing on the disk is changed.
    """
    flags = lib.AT_EMPTY_PATH | lib.AT_RECURSIVE
    try:
        check(lib.sys_mount_idmap(tree, flags, userns), shown)
    except OSError as error:
        if error.errno == errno.EINVAL:
            error.strerror = "this file system, or one that is mounted in it, cannot show its files under other ids"
        raise


@contextmanager
def _held_by_child(make: Callable[[], None]) -> Iterator[int]:
    """Yield the pid of a child that has entered new namespaces by `make`, and lives as long as the block."""
    ours, theirs = socket.socketpair()

    def stay() -> int:
        ours.close()
        make()
        theirs.send(b"R")
        theirs.recv(1)
        return 0

    pid = processes.fork(stay, lambda error: _report(theirs, error))
    theirs.close()
    try:
        answer = ours.recv(64)
        if answer != b"R":
            number = int(answer or errno.ECHILD)
            raise OSError(number, os.strerror(number))
        yield pid
    finally:
        ours.close()
        os.waitpid(pid, 0)


def _report(channel: socket.socket, error: BaseException) -> None:
    channel.send(str(error.errno if isinstance(error, OSError) else errno.EIO).encode())
