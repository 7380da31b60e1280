"""/dev: six harmless devices, those of --device, and for --privileged all of the host's."""

import os
import stat

from minirun.kernel.mounts import NOEXEC, NOSUID, bind_mount
from minirun.kernel.tree_root import Root

_ALWAYS = {
    "null": (1, 3),
    "zero": (1, 5),
    "full": (1, 7),
    "random": (1, 8),
    "urandom": (1, 9),
    "tty": (5, 0),
}
_LINKS = (
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
)
_OWN = ("console", "ptmx", "pts", "shm", "mqueue", "fd", *_ALWAYS)  # the container has its own of these


def populate(root: Root, wanted: tuple[tuple[str, str], ...], everything: bool) -> None:
    """Bind devices from the host's /dev into `root`, and create the usual links.

    `wanted` are pairs of a path on the host and one inside; with `everything`, all devices of the host are added. /dev
    itself is nodev, so a node created in it opens nothing. OSError when a node on the host is not the device expected.
    """
    for name, number in _ALWAYS.items():
        source = f"/dev/{name}"
        status = os.stat(source, follow_symlinks=False)
        if not stat.S_ISCHR(status.st_mode) or (os.major(status.st_rdev), os.minor(status.st_rdev)) != number:
            raise OSError(f"{source} on the host is not the device {number[0]}:{number[1]}")
        _bind(root, source, f"dev/{name}")
    directory = root.open("dev", os.O_PATH | os.O_DIRECTORY, follow=False)
    for name, target in _LINKS:
        os.symlink(target, name, dir_fd=directory)
    os.close(directory)
    if everything:
        for path in nodes("/dev", _OWN):
            _bind(root, path, path.lstrip("/"))
    for source, target in wanted:
        for path in nodes(source):
            _bind(root, path, (target + path[len(source) :]).lstrip("/"))


def _bind(root: Root, source: str, target: str) -> None:
    bind_mount(root, source, target, root.file(target, 0o666), NOSUID | NOEXEC)


def nodes(top: str, without: tuple[str, ...] = ()) -> list[str]:
    """List the device `top`, or all devices below the directory `top`, without the entries `without` of it."""
    if not os.path.isdir(top):
        return [top]
    devices = []
    for directory, names, files in os.walk(top):
        if directory == top:
            names[:] = [name for name in names if name not in without]
            files = [name for name in files if name not in without]
        for name in files:
            mode = os.lstat(os.path.join(directory, name)).st_mode
            if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
                devices.append(os.path.join(directory, name))
    return sorted(devices)
