"""Mounts by file descriptor (fsopen(2), open_tree(2), move_mount(2), openat2(2)).

A container's tree is hostile: every path in it may be a symlink, and may become one. So a target is found by
`tree_root.Root`, and the mount is moved onto the descriptor that this returns, never onto a path.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from minirun.kernel.own_ids import OWN_IDS
from minirun.kernel.seam import Raw, shell
from minirun.kernel.syscalls import NULL, check, lib
from minirun.kernel.tree_root import Root

NOSUID, NODEV, NOEXEC, RDONLY = (
    lib.MOUNT_ATTR_NOSUID,
    lib.MOUNT_ATTR_NODEV,
    lib.MOUNT_ATTR_NOEXEC,
    lib.MOUNT_ATTR_RDONLY,
)
NOATIME, STRICTATIME, NODIRATIME = lib.MOUNT_ATTR_NOATIME, lib.MOUNT_ATTR_STRICTATIME, lib.MOUNT_ATTR_NODIRATIME

# A layer must mean the same in the next image: it may hold whiteouts and opaque directories, and none of overlayfs'
# optional records.
# Without CAP_SYS_ADMIN of the first user namespace, marks are user attributes, and redirects are off anyway.
_SETTINGS = "redirect_dir=off,metacopy=off,index=off" if OWN_IDS.is_first else "userxattr,metacopy=off,index=off"
_MS_RDONLY, _MS_NODEV = 1, 4  # mount(2)


@shell(
    f"mount -t overlay -o nodev,lowerdir={{lower}},upperdir={{upper}},workdir={{work}},{_SETTINGS} overlay {{target}}"
)
def overlay_mount(lower: str, upper: str, work: str, target: str) -> None:
    """Mount an overlay. Relative paths keep the host's out of the container's mountinfo.

    nodev: a device node that the container makes (it has CAP_MKNOD, as under Docker) can never be opened.
    """
    _overlay(f"lowerdir={lower},upperdir={upper},workdir={work}", _MS_NODEV, target)


@shell(
    "mkdir -p {root}/{target} && mount -t {kind} -o {all} {kind} {root}/{target}",
    all=lambda of: ",".join([*words(of["attributes"]), *([of["options"]] if of["options"] else [])]),
)
def filesystem_mount(root: Root, target: str, target_fd: int, kind: str, options: str, attributes: int) -> None:
    """Mount a new file system of `kind` on the directory `target_fd`, which is closed."""
    split = (option.partition("=") for option in options.split(",") if option)
    pairs = {key: value for key, _, value in split}
    try:
        move_onto(_filesystem(kind, pairs, attributes), target_fd, target)
    finally:
        os.close(target_fd)


@shell(
    "{place} {root}/{target} && mount --rbind -o {all} {source} {root}/{target}",
    place=lambda of: Raw("mkdir -p" if os.path.isdir(of["source"]) else "touch"),
    all=lambda of: ",".join(["rw", *words(of["attributes"])]),
)
def bind_mount(root: Root, source: str, target: str, target_fd: int, attributes: int) -> None:
    """Bind the tree at `source`, a host path, to `target_fd`, which is closed; `attributes` hold for its mounts too."""
    tree = check(lib.sys_open_tree(lib.AT_FDCWD, os.fsencode(source), lib.OPEN_TREE_CLONE | lib.AT_RECURSIVE), source)
    try:
        _set_attributes(tree, attributes, source)
        move_onto(tree, target_fd, target)
    finally:
        os.close(target_fd)


def make_read_only(root: Root, path: str) -> None:
    """Make a path read-only; one that this kernel lacks is ignored."""
    with _cover(root, path) as target:
        if target is not None:
            read_only_again(root, path, target)


@shell("mount --rbind -o ro,nosuid,nodev,noexec {root}/{path} {root}/{path}")
def read_only_again(root: Root, path: str, target: int) -> None:
    """Bind a path of the container to itself, read-only."""
    flags = lib.OPEN_TREE_CLONE | lib.AT_RECURSIVE | lib.AT_EMPTY_PATH
    tree = check(lib.sys_open_tree(target, b"", flags), path)
    _set_attributes(tree, RDONLY, path)
    move_onto(tree, target, path)


@shell("mount -o remount,bind,ro {root}")
def mount_read_only(root: Root) -> None:
    """Make the mount at the root of a tree read-only, and not the mounts in it."""
    check(lib.sys_mount_setattr(root.fd, b"", lib.AT_EMPTY_PATH, RDONLY, 0), root.path)


@shell("# move_mount(2): put it at {root}/{target}")
def tree_attach(root: Root, tree: int, target: str, target_fd: int) -> None:
    """Attach a detached tree to `target_fd`; both are closed."""
    try:
        move_onto(tree, target_fd, target)
    finally:
        os.close(target_fd)


def mask(root: Root, path: str, null_fd: int) -> None:
    """Hide a path. The caller has checked that `null_fd` is the real null device: otherwise a container could choose
    what is bound (CVE-2025-31133)."""
    with _cover(root, path) as target:
        if target is None:
            return
        if stat.S_ISDIR(os.fstat(target).st_mode):
            mask_directory(root, path, target)
        else:
            mask_file(root, path, target, null_fd)


@shell("mount -t tmpfs -o ro,nosuid,nodev,noexec,size=0 tmpfs {root}/{path}")
def mask_directory(root: Root, path: str, target: int) -> None:
    """Hide a directory under an empty read-only one."""
    move_onto(_filesystem("tmpfs", {"size": "0"}, RDONLY | NOSUID | NODEV | NOEXEC), target, path)


@shell("mount --bind /dev/null {root}/{path}")
def mask_file(root: Root, path: str, target: int, null_fd: int) -> None:
    """Hide a file behind the null device."""
    cover = check(lib.sys_open_tree(null_fd, b"", lib.OPEN_TREE_CLONE | lib.AT_EMPTY_PATH), "/dev/null")
    move_onto(cover, target, path)


@shell("mount -t overlay overlay -o ro,nodev,lowerdir={layers} {target}")
def overlay_view(layers: str, target: str) -> None:
    """Mount layers (topmost first, joined by colons) as one read-only tree.

    It has no upper directory, so it may exist beside the one writable mount of the same layers.
    """
    _overlay(f"lowerdir={layers}", _MS_NODEV | _MS_RDONLY, target)


@shell("umount -l {target}")
def unmount(target: str | Path) -> None:
    """Take a mount from its place. Who still uses it may go on (umount2(2), MNT_DETACH)."""
    check(lib.sys_umount2(os.fsencode(target), lib.MNT_DETACH), target)


def words(attributes: int) -> list[str]:
    """The names that mount(8) has for MOUNT_ATTR_* flags."""
    names = {RDONLY: "ro", NOSUID: "nosuid", NODEV: "nodev", NOEXEC: "noexec"}
    names |= {NOATIME: "noatime", STRICTATIME: "strictatime", NODIRATIME: "nodiratime"}
    return [name for flag, name in names.items() if attributes & flag]


@contextmanager
def _cover(root: Root, path: str) -> Iterator[int | None]:
    try:
        fd = root.open(path, follow=False)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            raise
        yield None
        return
    try:
        yield fd
    finally:
        os.close(fd)


def _overlay(layers: str, flags: int, target: str) -> None:
    """By mount(2), which takes a page of options: before Linux 6.5 fsconfig(2) takes 255 bytes of layers."""
    options = f"{layers},{_SETTINGS}".encode()
    if len(options) >= os.sysconf("SC_PAGE_SIZE"):  # the kernel would truncate it silently
        raise OSError(errno.E2BIG, "the names of the layers are longer than a page", target)
    check(lib.sys_mount(b"overlay", os.fsencode(target), b"overlay", flags, options), target)


def _filesystem(kind: str, options: dict[str, str], attributes: int) -> int:
    context = check(lib.sys_fsopen(kind.encode(), 0), kind)
    try:
        for key, value in {"source": kind, **options}.items():
            command = lib.FSCONFIG_SET_STRING if value else lib.FSCONFIG_SET_FLAG
            text = os.fsencode(value) if value else NULL
            check(lib.sys_fsconfig(context, command, key.encode(), text, 0), f"{kind}: {key}={value}")
        check(lib.sys_fsconfig(context, lib.FSCONFIG_CMD_CREATE, NULL, NULL, 0), kind)
        return check(lib.sys_fsmount(context, 0, attributes), kind)
    finally:
        os.close(context)


def _set_attributes(tree: int, attributes: int, path: str) -> None:
    if attributes:
        check(lib.sys_mount_setattr(tree, b"", lib.AT_EMPTY_PATH | lib.AT_RECURSIVE, attributes, 0), path)


def _move(mount: int, to_fd: int, to_path: str) -> None:
    flags = lib.MOVE_MOUNT_F_EMPTY_PATH | (0 if to_path else lib.MOVE_MOUNT_T_EMPTY_PATH)
    try:
        check(lib.sys_move_mount(mount, b"", to_fd, os.fsencode(to_path), flags), to_path)
    finally:
        os.close(mount)


def move_onto(mount: int, target_fd: int, path: str) -> None:
    """Attach a detached mount to the directory or file of a descriptor; `path` is for the error. Closes `mount`."""
    try:
        _move(mount, target_fd, "")
    except OSError as error:
        error.filename = path
        raise
