"""diff: what a container has changed, read from its writable layer (Documentation/filesystems/overlayfs.rst).

Read on the host, name by name below a descriptor: nothing is opened but directories, and no symlink is followed.
"""

import os
import stat
from dataclasses import dataclass

from minirun.archive.chroot import Tree
from minirun.archive.tree_walk import DIRECTORY, Place, is_opaque, is_whiteout, look, names_in

ADDED, CHANGED, DELETED = "A", "C", "D"
# What the runtime itself puts in, which Docker has in a layer of its own that no comparison shows.
OURS = ("/dev", "/proc", "/sys", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/.dockerenv")


@dataclass(frozen=True)
class _Below:
    """What the image has for a name: its own entry, and for a directory the path in each layer that adds to it."""

    found: os.stat_result
    directories: list[str]


@dataclass
class _Level:
    path: str
    names: list[str]
    below: list[str]  # the same directory in each layer of the image
    hidden: bool = False  # nothing of those is seen here any more


def changes(tree: Tree) -> list[tuple[str, str]]:
    """(kind, path), sorted by path."""
    upper = os.open(tree.root / tree.here / "upper", DIRECTORY)
    return _Comparison([str(tree.root / layer) for layer in tree.lower.split(":")]).run(upper)


class _Comparison:
    def __init__(self, layers: list[str]) -> None:
        self.kinds: dict[str, str] = {}
        self.levels = [_Level("", [], layers)]

    def run(self, upper: int) -> list[tuple[str, str]]:
        place = Place(upper)
        self.levels[0].names = names_in(upper)
        try:
            while self.levels:
                if self.levels[-1].names:
                    self._compare(place, self.levels[-1], self.levels[-1].names.pop())
                    continue
                self.levels.pop()
                if self.levels:
                    place.up()
        finally:
            place.close()
        if self.kinds.get("/etc") == ADDED and not any(path.startswith("/etc/") for path in self.kinds):
            del self.kinds["/etc"]  # made for our three files, in an image that has none
        return [(kind, path) for path, kind in sorted(self.kinds.items())]

    def _compare(self, place: Place, level: _Level, name: str) -> None:
        path = f"{level.path}/{name}"
        found = look(place.fd, name)
        if found is None or path in OURS:
            return
        below = _below(level.below, name)
        if is_whiteout(found):
            if below is not None:
                self._record(DELETED, path)
            return
        if below is None:
            self._record(ADDED, path)
        elif _differs(below.found, found):
            self._record(CHANGED, path)
        if stat.S_ISDIR(found.st_mode):
            self._enter(place, name, path, below.directories if below is not None else [])

    def _enter(self, place: Place, name: str, path: str, below: list[str]) -> None:
        try:
            child = os.open(name, DIRECTORY, dir_fd=place.fd)
        except (FileNotFoundError, NotADirectoryError):  # it is running: gone, or replaced
            return
        names = names_in(child)
        # Removed and made anew: what was in it, and below, is gone without a whiteout of its own.
        hidden = self.levels[-1].hidden or is_opaque(child)
        place.down(child)
        self.levels.append(_Level(path, names, below, hidden))
        for gone in _names_below(below) - set(names) if hidden else ():
            if _below(below, gone) is not None:
                self._record(DELETED, f"{path}/{gone}")

    def _record(self, kind: str, path: str) -> None:
        """The directories above are changed by it, but for the root, which Docker leaves out."""
        self.kinds[path] = kind
        for level in reversed(self.levels[1:]):
            if level.path in self.kinds:
                break
            self.kinds[level.path] = CHANGED


def _below(layers: list[str], name: str) -> _Below | None:
    """What the layers below show under a name, as the overlay merges them."""
    first: os.stat_result | None = None
    directories: list[str] = []
    for layer in layers:
        path = os.path.join(layer, name)
        try:
            found = os.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            continue
        if is_whiteout(found) or (first is not None and not stat.S_ISDIR(found.st_mode)):
            break
        first = first or found
        if not stat.S_ISDIR(found.st_mode):
            break
        directories.append(path)
        if is_opaque(path):
            break
    return _Below(first, directories) if first is not None else None


def _names_below(layers: list[str]) -> set[str]:
    return {name for layer in layers for name in os.listdir(layer)}


def _differs(old: os.stat_result, new: os.stat_result) -> bool:
    """As Docker judges: the size and time of a directory say nothing of what was done to it."""
    if (old.st_mode, old.st_uid, old.st_gid) != (new.st_mode, new.st_uid, new.st_gid):
        return True
    if stat.S_ISDIR(new.st_mode):
        return False
    return (old.st_rdev, old.st_mtime_ns, old.st_size) != (new.st_rdev, new.st_mtime_ns, new.st_size)
