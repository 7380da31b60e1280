"""Binds, volumes, tmpfs: copies of the host's mounts are taken before anything is hidden, and attached at the end."""

import os
import stat
from collections.abc import Iterable

from minirun.errors import FAILED
from minirun.init.plan import PlannedMount
from minirun.init.program import StartError
from minirun.kernel.mounts import NODEV, NOEXEC, NOSUID, RDONLY, filesystem_mount, tree_attach
from minirun.kernel.tree_root import PROC_SUPER_MAGIC, Root, filesystem_magic

_MISMATCH = "not a directory: Are you trying to mount a directory onto a file (or vice-versa)?"
_FLAGS = {"ro": RDONLY, "nosuid": NOSUID, "nodev": NODEV, "noexec": NOEXEC}
# Of /proc a container may have these of its own, such as lxcfs makes them; anything else there would fake what the
# runtime itself believes (CVE-2019-16884).
_HARMLESS = ("cpuinfo", "diskstats", "meminfo", "stat", "swaps", "uptime", "loadavg", "slabinfo")


Opened = tuple[PlannedMount, int]  # with a detached copy of the source, -1 for a tmpfs


def open_sources(mounts: Iterable[PlannedMount], userns: int = -1, attributes: int = NODEV) -> list[Opened]:
    """While the host's mounts still hear of each other, so that a shared or slave one goes on hearing. In a container
    with the user namespace `userns` their files belong to whom they would belong to in one without."""
    return [(mount, _open_source(mount, userns, attributes) if mount[0] == "bind" else -1) for mount in mounts]


def covers_top(opened: Opened) -> bool:
    """Whether it lies on a directory of the root, such as /etc: then it comes before the runtime's own files there."""
    return opened[0][2].count("/") == 1


def _open_source(mount: PlannedMount, userns: int, attributes: int) -> int:
    from minirun.kernel import trees  # most containers have no mounts of their own

    _, source, _, read_only, options, propagation, below = mount
    tree = trees.tree_copy_below(source, below) if below else trees.tree_copy(source, options != "nonrecursive")
    trees.tree_propagation(tree, propagation, source)
    trees.tree_attributes(tree, attributes, True, source)
    if read_only:
        trees.tree_attributes(tree, RDONLY, options != "writable", source)
    if userns >= 0:
        from minirun.kernel.userns import tree_idmap

        tree_idmap(tree, userns, source)
    return tree


def attach(root: Root, mounts: Iterable[Opened]) -> None:
    """In their order: a later one may lie in an earlier one."""
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
    place = _place(root, target, stat.S_ISDIR(os.fstat(tree).st_mode))
    tree_attach(root, tree, target.lstrip("/"), place)


def _attach_tmpfs(root: Root, target: str, options: str) -> None:
    """With the mode of the directory that it covers, unless it was given one."""
    words = options.split(",") if options else []
    attributes = 0
    for word in words:
        attributes |= _FLAGS.get(word, 0)
    settings = [word for word in words if word not in _FLAGS]
    if not any(word.startswith("mode=") for word in settings) and (mode := _mode_of(root, target)):
        settings.append(f"mode={mode:o}")
    place = _place(root, target, True)
    filesystem_mount(root, target.lstrip("/"), place, "tmpfs", ",".join(settings), attributes | NODEV)


def _mode_of(root: Root, target: str) -> int:
    """0 when there is no such directory."""
    try:
        found = root.open(target, os.O_PATH | os.O_DIRECTORY)
    except OSError:
        return 0
    mode = stat.S_IMODE(os.fstat(found).st_mode)
    os.close(found)
    return mode


def _place(root: Root, target: str, is_directory: bool) -> int:
    place = root.directory(target) if is_directory else root.file(target)
    if filesystem_magic(place) == PROC_SUPER_MAGIC and target.removeprefix("/proc/") not in _HARMLESS:
        raise StartError(FAILED, f'"{target}" cannot be mounted because it is inside /proc')
    if stat.S_ISDIR(os.fstat(place).st_mode) is not is_directory:
        raise NotADirectoryError
    return place
