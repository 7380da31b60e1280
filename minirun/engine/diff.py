"""diff: what a container has changed, read from its writable layer (Documentation/filesystems/overlayfs.rst).

It is read on the host, name by name below a descriptor: only directories are opened, and no symlink is followed.
"""

import os
import stat
from dataclasses import dataclass

from minirun.archive.chroot import Tree
from minirun.archive.tree_walk import DIRECTORY, TreeCursor, is_opaque, is_whiteout, lstat_at, names_in

ADDED, CHANGED, DELETED = "A", "C", "D"
# What the runtime itself creates. Docker has these in a layer of their own that no comparison shows.
RUNTIME_PATHS = ("/dev", "/proc", "/sys", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/.dockerenv")


@dataclass(frozen=True)
class _Below:
    """What the image has for a name."""

    status: os.stat_result
    directories: list[str]  # for a directory, its path in each layer that adds to it


@dataclass
class _Level:
    path: str
    names: list[str]
    below: list[str]  # the paths of this directory in the image's layers
    hidden: bool = False  # the image's layers no longer show through


def changes(tree: Tree) -> list[tuple[str, str]]:
    """Return (kind, path) of each change, sorted by path; the kinds are ADDED, CHANGED and DELETED."""
    upper = os.open(tree.base / tree.directory / "upper", DIRECTORY)
    return _Comparison([str(tree.base / layer) for layer in tree.lower.split(":") if layer]).run(upper)


class _Comparison:
    def __init__(self, layers: list[str]) -> None:
        self.kinds: dict[str, str] = {}
        self.levels = [_Level("", [], layers)]

    def run(self, upper: int) -> list[tuple[str, str]]:
        cursor = TreeCursor(upper)
        self.levels[0].names = names_in(upper)
        try:
            while self.levels:
                if self.levels[-1].names:
                    self._compare(cursor, self.levels[-1], self.levels[-1].names.pop())
                    continue
                self.levels.pop()
                if self.levels:
                    cursor.up()
        finally:
            cursor.close()
        if self.kinds.get("/etc") == ADDED and not any(path.startswith("/etc/") for path in self.kinds):
            del self.kinds["/etc"]  # made for the runtime's three files, in an image without /etc
        return [(kind, path) for path, kind in sorted(self.kinds.items())]

    def _compare(self, cursor: TreeCursor, level: _Level, name: str) -> None:
        path = f"{level.path}/{name}"
        status = lstat_at(cursor.fd, name)
        if status is None or path in RUNTIME_PATHS:
            return
        below = _below(level.below, name)
        if is_whiteout(status):
            if below is not None:
                self._record(DELETED, path)
            return
        if below is None:
            self._record(ADDED, path)
        elif _differs(below.status, status):
            self._record(CHANGED, path)
        if stat.S_ISDIR(status.st_mode):
            self._enter(cursor, name, path, below.directories if below is not None else [])

    def _enter(self, cursor: TreeCursor, name: str, path: str, below: list[str]) -> None:
        try:
            child = os.open(name, DIRECTORY, dir_fd=cursor.fd)
        except (FileNotFoundError, NotADirectoryError):  # the container runs: gone, or replaced
            return
        names = names_in(child)
        # Removed and made again: what was in it, and below, is gone without a whiteout of its own.
        hidden = self.levels[-1].hidden or is_opaque(child)
        cursor.down(child)
        self.levels.append(_Level(path, names, below, hidden))
        for deleted in _names_below(below) - set(names) if hidden else ():
            if _below(below, deleted) is not None:
                self._record(DELETED, f"{path}/{deleted}")

    def _record(self, kind: str, path: str) -> None:
        """Record a change; the directories above are changed too, except for the root, which Docker leaves out."""
        self.kinds[path] = kind
        for level in reversed(self.levels[1:]):
            if level.path in self.kinds:
                break
            self.kinds[level.path] = CHANGED


def _below(layers: list[str], name: str) -> _Below | None:
    """Return what the image's layers show for a name, as overlayfs merges them; None if nothing."""
    first: os.stat_result | None = None
    directories: list[str] = []
    for layer in layers:
        path = os.path.join(layer, name)
        try:
            status = os.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            continue
        if is_whiteout(status) or (first is not None and not stat.S_ISDIR(status.st_mode)):
            break
        first = first or status
        if not stat.S_ISDIR(status.st_mode):
            break
        directories.append(path)
        if is_opaque(path):
            break
    return _Below(first, directories) if first is not None else None


def _names_below(layers: list[str]) -> set[str]:
    return {name for layer in layers for name in os.listdir(layer)}


def _differs(old: os.stat_result, new: os.stat_result) -> bool:
    """Return whether an entry was changed. As in Docker, size and time of a directory don't count."""
    if (old.st_mode, old.st_uid, old.st_gid) != (new.st_mode, new.st_uid, new.st_gid):
        return True
    if stat.S_ISDIR(new.st_mode):
        return False
    return (old.st_rdev, old.st_mtime_ns, old.st_size) != (new.st_rdev, new.st_mtime_ns, new.st_size)
