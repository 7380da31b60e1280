"""Walk a tree that may be deeper than a path is long, than Python recurses, or than there are file descriptors."""

import os
import stat
from collections.abc import Callable
from pathlib import Path

from minirun.kernel.own_ids import OVERLAY_MARKS

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
OPAQUE = OVERLAY_MARKS + "opaque"


class TreeCursor:
    """One directory, held by one file descriptor, and the way back up.

    Up is "..", then a check that this is the directory one came from: whoever moves a directory while it is
    read (out of a volume, say) cannot lead the walk elsewhere.
    """

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._parents: list[tuple[int, int]] = []

    def down(self, child: int) -> None:
        """Enter a directory that was opened below this one; `child` is its file descriptor, owned from now on."""
        self._parents.append(identity(os.fstat(self.fd)))
        os.close(self.fd)
        self.fd = child

    def up(self) -> None:
        """Return to the parent. OSError when this directory was moved meanwhile."""
        parent = os.open("..", DIRECTORY, dir_fd=self.fd)
        os.close(self.fd)
        self.fd = parent
        if identity(os.fstat(parent)) != self._parents.pop():
            raise OSError("a directory was moved while it was read")

    def close(self) -> None:
        """Close the file descriptor."""
        os.close(self.fd)


def identity(status: os.stat_result) -> tuple[int, int]:
    """Return what tells a file from every other: device and inode number."""
    return status.st_dev, status.st_ino


def lstat_at(directory: int, name: str) -> os.stat_result | None:
    """Return the status of a directory entry itself, without following a symlink; None if it does not exist."""
    try:
        return os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return None


def names_in(directory: int) -> list[str]:
    """Return a directory's entries in reverse order, so that pop() gives the first."""
    return sorted(os.listdir(directory), reverse=True)


def is_whiteout(status: os.stat_result) -> bool:
    """Return whether this entry of an overlayfs layer hides a name (Documentation/filesystems/overlayfs.rst)."""
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def is_opaque(directory: int | str) -> bool:
    """Return whether a directory of an overlayfs layer hides the same directory in the layers below."""
    return read_xattr(directory, OPAQUE) == b"y"


def read_xattr(file: int | str, name: str) -> bytes:
    """Return an extended attribute, b"" if the file has none of that name (xattr(7))."""
    try:
        return os.getxattr(file, name)
    except OSError:
        return b""


def visit_tree(top: int, visit: Callable[[int, str, os.stat_result], None]) -> None:
    """Visit every entry below a directory, what is in a directory before itself. Closes the descriptor.

    `visit` gets the descriptor of the directory that holds the entry, the entry's name and its status.
    """
    cursor = TreeCursor(top)
    levels = [("", names_in(top))]
    try:
        while levels:
            name, names = levels[-1]
            if not names:
                levels.pop()
                if levels:
                    cursor.up()
                    visit(cursor.fd, name, os.stat(name, dir_fd=cursor.fd, follow_symlinks=False))
                continue
            child = names.pop()
            status = os.stat(child, dir_fd=cursor.fd, follow_symlinks=False)
            if stat.S_ISDIR(status.st_mode):
                fd = os.open(child, DIRECTORY, dir_fd=cursor.fd)
                levels.append((child, names_in(fd)))
                cursor.down(fd)
            else:
                visit(cursor.fd, child, status)
    finally:
        cursor.close()


def tree_size(path: Path) -> int:
    """Return the size in bytes of all regular files below `path`, a hard link counted once.

    0 when the directory does not exist; less than all when the tree is removed or moved while it is measured.
    """
    try:
        cursor = TreeCursor(os.open(path, DIRECTORY))
    except FileNotFoundError:
        return 0
    sizes: dict[tuple[int, int], int] = {}
    levels = [os.listdir(cursor.fd)]
    try:
        while levels:
            if levels[-1]:
                children = _measure(cursor, levels[-1].pop(), sizes)
                levels += [] if children is None else [children]
                continue
            levels.pop()
            if levels:
                cursor.up()
    except OSError:
        pass  # removed, or moved by the container, while it was measured
    finally:
        cursor.close()
    return sum(sizes.values())


def _measure(cursor: TreeCursor, name: str, sizes: dict[tuple[int, int], int]) -> list[str] | None:
    """Measure one entry. If it is a directory, enter it and return its entries."""
    status = lstat_at(cursor.fd, name)
    if status is None:
        return None
    if stat.S_ISREG(status.st_mode):
        sizes[identity(status)] = status.st_size
    if not stat.S_ISDIR(status.st_mode):
        return None
    try:
        child = os.open(name, DIRECTORY, dir_fd=cursor.fd)
    except (FileNotFoundError, NotADirectoryError):
        return None
    cursor.down(child)
    return os.listdir(child)
