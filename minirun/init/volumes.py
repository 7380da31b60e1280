"""Binds, volumes and tmpfs: the host's mounts are cloned before anything hides them, and attached at the end."""

import os
import stat
from collections.abc import Iterable

from minirun.errors import FAILED
from minirun.init.plan import PlannedMount
from minirun.init.program import StartError
from minirun.kernel import trees
from minirun.kernel.mounts import (
    NOATIME,
    NODEV,
    NODIRATIME,
    NOEXEC,
    NOSUID,
    RDONLY,
    STRICTATIME,
    filesystem_mount,
    overlay_view,
    tree_attach,
    unmount,
)
from minirun.kernel.tree_root import PROC_SUPER_MAGIC, Root, filesystem_magic
from minirun.kernel.userns import tree_idmap

_MISMATCH = "not a directory: Are you trying to mount a directory onto a file (or vice-versa)?"
_FLAGS = {"ro": RDONLY, "nosuid": NOSUID, "nodev": NODEV, "noexec": NOEXEC}
_FLAGS |= {"noatime": NOATIME, "strictatime": STRICTATIME, "nodiratime": NODIRATIME}
# A container may mount over these files of /proc, as lxcfs does. Anything else there would forge what the runtime
# itself relies on (CVE-2019-16884).
_HARMLESS = ("cpuinfo", "diskstats", "meminfo", "stat", "swaps", "uptime", "loadavg", "slabinfo")


Opened = tuple[PlannedMount, int]  # with a descriptor of the detached clone of the source, -1 for a tmpfs


def open_sources(mounts: Iterable[PlannedMount], userns: int = -1, attributes: int = NODEV) -> list[Opened]:
    """Clone the source of each bind (open_tree(2)), while propagation between the host's mounts still works.

    `userns` is a descriptor of the container's user namespace, or -1: inside, files then have the owners that they have
    without one. `attributes` are set on each clone.
    """
    return [(mount, _open_source(mount, userns, attributes) if mount[0] == "bind" else -1) for mount in mounts]


def with_images(opened: Iterable[Opened], scratch: str, attributes: int = NODEV) -> list[Opened]:
    """Open the mounted images, too. Called when mounts are private: each is mounted for a moment on `scratch`."""
    return [(mount, _open_image(mount, scratch, attributes) if mount[0] == "image" else tree) for mount, tree in opened]


def _open_image(mount: PlannedMount, scratch: str, attributes: int) -> int:
    layers, target, below = mount[1], mount[2], mount[6]
    if ":" not in layers:  # overlayfs wants two
        tree = trees.tree_copy_below(layers, below) if below else trees.tree_copy(layers)
    else:
        overlay_view(layers, scratch)
        try:
            tree = trees.tree_copy_below(scratch, below) if below else trees.tree_copy(scratch)
        finally:
            unmount(scratch)
    trees.tree_attributes(tree, attributes | RDONLY, True, target)
    return tree


def covers_top(opened: Opened) -> bool:
    """Whether its target is a top directory, such as /etc: then it is attached before the runtime's files there."""
    return opened[0][2].count("/") == 1


def _open_source(mount: PlannedMount, userns: int, attributes: int) -> int:
    _, source, _, read_only, options, propagation, below = mount
    tree = trees.tree_copy_below(source, below) if below else trees.tree_copy(source, options != "nonrecursive")
    trees.tree_propagation(tree, propagation, source)
    trees.tree_attributes(tree, attributes, True, source)
    if read_only:
        trees.tree_attributes(tree, RDONLY, options != "writable", source)
    if userns >= 0:
        tree_idmap(tree, userns, source)
    return tree


def attach(root: Root, mounts: Iterable[Opened]) -> None:
    """Attach the mounts below `root` in their order: a later one may lie in an earlier one. StartError on failure."""
    for mount, tree in mounts:
        try:
            _attach(root, mount, tree)
        except NotADirectoryError:
            raise StartError(FAILED, f'error mounting "{mount[1]}" to rootfs at "{mount[2]}": {_MISMATCH}') from None
        except OSError as error:
            error.filename = mount[2]
            raise


def _attach(root: Root, mount: PlannedMount, tree: int) -> None:
    kind, _, target, _, options, _, _ = mount
    if kind == "tmpfs":
        _attach_tmpfs(root, target, options)
        return
    mount_point = _mount_point(root, target, stat.S_ISDIR(os.fstat(tree).st_mode))
    tree_attach(root, tree, target.lstrip("/"), mount_point)


def _attach_tmpfs(root: Root, target: str, options: str) -> None:
    """Mount a tmpfs, by default with the mode of the directory that it covers."""
    words = options.split(",") if options else []
    attributes = 0
    for word in words:
        attributes |= _FLAGS.get(word, 0)
    settings = [word for word in words if word not in _FLAGS]
    if not any(word.startswith("mode=") for word in settings) and (mode := _mode_of(root, target)):
        settings.append(f"mode={mode:o}")
    mount_point = _mount_point(root, target, True)
    filesystem_mount(root, target.lstrip("/"), mount_point, "tmpfs", ",".join(settings), attributes | NODEV)


def _mode_of(root: Root, target: str) -> int:
    """The mode of a directory; 0 when there is none."""
    try:
        directory = root.open(target, os.O_PATH | os.O_DIRECTORY)
    except OSError:
        return 0
    mode = stat.S_IMODE(os.fstat(directory).st_mode)
    os.close(directory)
    return mode


def _mount_point(root: Root, target: str, is_directory: bool) -> int:
    """Open the target, created if it is missing. StartError inside /proc, NotADirectoryError for the wrong kind."""
    mount_point = root.directory(target) if is_directory else root.file(target)
    if filesystem_magic(mount_point) == PROC_SUPER_MAGIC and target.removeprefix("/proc/") not in _HARMLESS:
        raise StartError(FAILED, f'"{target}" cannot be mounted because it is inside /proc')
    if stat.S_ISDIR(os.fstat(mount_point).st_mode) is not is_directory:
        raise NotADirectoryError
    return mount_point
