"""The mounts of a lab: the host's files, with /proc, /sys, /run and minirun's state root of its own."""

import os
import stat
from pathlib import Path

from minirun.kernel.mount_namespace import mounts_private
from minirun.kernel.mounts import NODEV, NOEXEC, NOSUID, filesystem_mount, tree_attach
from minirun.kernel.tree_root import Root
from minirun.kernel.trees import tree_copy

_LOCKED = NODEV | NOSUID | NOEXEC
_BOOT_ID = "/proc/sys/kernel/random/boot_id"
_NEW_ID = Path("/proc/sys/kernel/random/uuid")


def kernel_filesystems(kept: str) -> None:
    """Mount /proc, /sys and /run anew, for the namespaces of the caller; `kept` is a directory below /run that stays.

    What can be seen of the host's processes, links and services goes with the old ones.
    """
    mounts_private()
    root = Root("/")
    tree = tree_copy(kept) if os.path.isdir(kept) else -1
    _mount(root, "proc", "proc", "", _LOCKED)
    _mount(root, "sys", "sysfs", "", _LOCKED)
    _mount(root, "run", "tmpfs", "mode=755", NODEV | NOSUID)
    if os.path.isdir("/sys/fs/cgroup"):
        try:
            _mount(root, "sys/fs/cgroup", "cgroup2", "", _LOCKED)
        except OSError:
            pass  # a kernel without cgroup v2
    os.close(root.fd)
    if tree >= 0:
        os.makedirs(kept)
        _attach(tree, kept)


def new_boot_id() -> None:
    """Give the lab a boot id of its own: what its records say of an earlier lab's processes is over."""
    own = Path("/run/boot_id")
    own.write_text(_NEW_ID.read_text())
    _attach(tree_copy(str(own)), _BOOT_ID)


def state_root_place(path: str, state: str) -> None:
    """Mount the lab's state at `path`: the directory `state`, or a file system in memory for ""."""
    if not os.path.isdir(path):
        _make_room(path)
    if state:
        return _attach(tree_copy(state), path)
    root = Root("/")
    _mount(root, path.lstrip("/"), "tmpfs", "mode=700", NODEV | NOSUID)
    os.close(root.fd)
    return None


def file_cover(path: str, text: str) -> None:
    """Let a file have this content, in the lab alone. A file that does not exist stays so, unless it is in /run."""
    real = os.path.realpath(path)
    if real.startswith("/run/"):  # /etc/resolv.conf is often a link there
        os.makedirs(os.path.dirname(real), exist_ok=True)
        Path(real).write_text(text)
    elif os.path.exists(real):
        own = Path("/run", f"lab-{os.path.basename(real)}")
        own.write_text(text)
        _attach(tree_copy(str(own)), real)


def _attach(tree: int, path: str) -> None:
    root = Root("/")
    tree_attach(root, tree, path.lstrip("/"), root.open(path))
    os.close(root.fd)


def _make_room(path: str) -> None:
    """Make a directory where the caller may not: its parent becomes one in memory with all that is in it."""
    parent = os.path.dirname(path)
    entries = {name: os.lstat(f"{parent}/{name}") for name in os.listdir(parent)}
    links = {name: os.readlink(f"{parent}/{name}") for name, status in entries.items() if stat.S_ISLNK(status.st_mode)}
    trees = {name: tree_copy(f"{parent}/{name}") for name in entries.keys() - links.keys()}
    root = Root("/")
    _mount(root, parent.lstrip("/"), "tmpfs", "mode=755", 0)
    os.close(root.fd)
    for name, target in links.items():
        os.symlink(target, f"{parent}/{name}")
    for name, tree in trees.items():
        place = f"{parent}/{name}"
        if stat.S_ISDIR(entries[name].st_mode):
            os.mkdir(place)
        else:
            os.close(os.open(place, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC))
        _attach(tree, place)
    os.mkdir(path)


def _mount(root: Root, place: str, kind: str, options: str, attributes: int) -> None:
    filesystem_mount(root, place, root.open(place, os.O_PATH | os.O_DIRECTORY), kind, options, attributes)
