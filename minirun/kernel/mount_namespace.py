"""The mounts of a process as a whole: private ones, copies of them, and changing the root (mount_namespaces(7),
pivot_root(2), open_tree(2))."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from minirun.kernel.mounts import RDONLY, move_onto
from minirun.kernel.seam import shell
from minirun.kernel.syscalls import NULL, check, lib
from minirun.kernel.tree_root import Root


@shell("mount --make-rprivate /")
def mounts_private() -> None:
    """Stop the propagation of mounts into this namespace and out of it (mount_namespaces(7))."""
    if lib.sys_mount(NULL, b"/", NULL, lib.MS_REC | lib.MS_PRIVATE, NULL) == 0:
        return
    with _namespace_root():
        check(lib.sys_mount(NULL, b"/", NULL, lib.MS_REC | lib.MS_PRIVATE, NULL), "/")


@shell("mount -o remount,bind,ro /  # and all below")
def mounts_read_only() -> None:
    """Make all present mounts read-only; later ones are not affected."""
    with _namespace_root():
        root = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        flags = lib.AT_EMPTY_PATH | lib.AT_RECURSIVE
        check(lib.sys_mount_setattr(root, b"", flags, RDONLY, 0), "/")
        os.close(root)


@contextmanager
def _namespace_root() -> Iterator[None]:
    """Be in the root of the mount namespace within the block: in a chroot, / is not a mount (EINVAL)."""
    here = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    directory = os.getcwd()
    namespace_root_enter()
    try:
        yield
    finally:
        os.fchdir(here)
        os.chroot(".")
        os.close(here)
        os.chdir(directory)


@shell("# open_tree(2): take {path} of another process's mounts")
def tree_of_process(pidfd: int, path: str) -> int:
    """Copy a mount of another process, detached, so that it can be attached here. Returns its descriptor.

    The kernel copies mounts of the caller's namespace only (open_tree(2)), so this enters that one and returns. No
    symlink is followed: the tree is a container's.
    """
    with mounts_entered(pidfd):
        theirs = Root("/")
        mount = theirs.open(path, os.O_PATH | os.O_DIRECTORY, follow=False)
        return check(lib.sys_open_tree(mount, b"", lib.OPEN_TREE_CLONE | lib.AT_EMPTY_PATH), path)


@contextmanager
def mounts_entered(fd: int) -> Iterator[None]:
    """Be in another mount namespace, in its root, within the block (setns(2)).

    fd: of the namespace, or a pidfd of a process in it. The caller must be single-threaded.
    """
    own = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    root, here = (os.open(place, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC) for place in ("/", "."))
    check(lib.sys_setns(fd, lib.CLONE_NEWNS))
    try:
        yield
    finally:
        check(lib.sys_setns(own, lib.CLONE_NEWNS))
        os.fchdir(root)
        os.chroot(".")
        os.fchdir(here)
        for opened in (own, root, here):
            os.close(opened)


_FIRST_ROOT, _FIRST_MOUNTS, _OWN_MOUNTS = "/proc/1/root", "/proc/1/ns/mnt", "/proc/self/ns/mnt"


def is_elsewhere(directory: Path) -> bool:
    """Return whether mounts below a directory that all callers have to see are to be made in pid 1's mount namespace.

    So it is when the caller has another one (`unshare --mount`, a systemd unit with PrivateTmp=yes), and the same
    directory there: what it mounts itself is seen by nobody else.
    """
    try:
        if os.stat(_FIRST_MOUNTS).st_ino == os.stat(_OWN_MOUNTS).st_ino:
            return False
        return os.path.samestat(os.stat(directory), os.stat(f"{_FIRST_ROOT}{directory}"))
    except OSError:  # pid 1 cannot be seen from here
        return False


@contextmanager
def first_mounts_entered(directory: Path) -> Iterator[None]:
    """Be in pid 1's mount namespace within the block, if mounts below the directory are to be made there."""
    if not is_elsewhere(directory):
        yield
        return
    fd = os.open(_FIRST_MOUNTS, os.O_RDONLY | os.O_CLOEXEC)
    try:
        with mounts_entered(fd):
            yield
    finally:
        os.close(fd)


@shell("# open_tree(2): take a copy of all mounts, for the first process")
def tree_of_root() -> int:
    """Copy all mounts, detached: another process can make them its own by `root_take`."""
    return check(lib.sys_open_tree(lib.AT_FDCWD, b"/", lib.OPEN_TREE_CLONE | lib.AT_RECURSIVE), "/")


@shell("# move_mount(2): put them at / && cd / && pivot_root . . && umount -l .")
def root_take(tree: int) -> None:
    """Make a detached tree the root, and unmount the old one. The descriptor is closed."""
    namespace_root_enter()
    place = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    keep = os.dup(tree)
    move_onto(tree, place, "/")
    os.fchdir(keep)
    os.close(place)
    os.close(keep)
    check(lib.sys_pivot_root(b".", b"."), "/")
    check(lib.sys_umount2(b".", lib.MNT_DETACH), "/")
    os.chdir("/")


@shell("cd {path} && pivot_root . . && umount -l .")
def pivot_root(path: str) -> None:
    """Make `path` the root, and unmount the old one (pivot_root(2), NOTES: `pivot_root(".", ".")`)."""
    os.chdir(path)
    if lib.sys_pivot_root(b".", b".") < 0:
        # EINVAL in a chroot: the current root must be a mount. The namespace's own root is one.
        here = os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        namespace_root_enter()
        os.fchdir(here)
        os.close(here)
        check(lib.sys_pivot_root(b".", b"."), path)
    check(lib.sys_umount2(b".", lib.MNT_DETACH), "/")
    os.chdir("/")


def namespace_root_enter() -> None:
    """Make the mount namespace's own root the root and working directory: rejoining it does that (setns(2))."""
    fd = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    try:
        check(lib.sys_setns(fd, lib.CLONE_NEWNS))
    finally:
        os.close(fd)


@shell("unshare --mount --propagation private")
def mounts_unshare() -> None:
    """Give this process a mount namespace of its own, with private mounts."""
    check(lib.sys_unshare(lib.CLONE_NEWNS))
    mounts_private()


@shell("chroot /proc/{pid}/root")
def root_enter(fd: int, pid: int) -> None:
    """Make the directory `fd`, the root of process `pid`, this process's root: no path leads out of it."""
    os.fchdir(fd)
    os.chroot(".")
    os.close(fd)


@shell("cd {path}")
def directory_go(path: str) -> None:
    """Change the working directory."""
    os.chdir(path)


@shell("chroot {path}")
def directory_enter(path: str) -> None:
    """Make `path` the root and the working directory (chroot(2))."""
    os.chroot(path)
    os.chdir("/")
