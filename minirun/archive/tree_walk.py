"""Going through a tree that may be deeper than a path is long, than Python recurses, or than descriptors last."""

import os
import stat

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
OPAQUE = "trusted.overlay.opaque"


class Place:
    """One directory, held by one descriptor, and the way back up.

    Up is "..", and then a look whether that is the directory one came from: whoever moves a directory while it is
    read (out of a volume, say) leads the walk nowhere else.
    """

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._above: list[tuple[int, int]] = []

    def down(self, child: int) -> None:
        """Into a directory that was opened below this one."""
        self._above.append(identity(os.fstat(self.fd)))
        os.close(self.fd)
        self.fd = child

    def up(self) -> None:
        parent = os.open("..", DIRECTORY, dir_fd=self.fd)
        os.close(self.fd)
        self.fd = parent
        if identity(os.fstat(parent)) != self._above.pop():
            raise OSError("a directory was moved while it was read")

    def close(self) -> None:
        os.close(self.fd)


def identity(found: os.stat_result) -> tuple[int, int]:
    return found.st_dev, found.st_ino


def look(directory: int, name: str) -> os.stat_result | None:
    """What an entry is, itself and not what it points to; None when it is not there (any more)."""
    try:
        return os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return None


def names_in(directory: int) -> list[str]:
    """In reverse order, so that pop() gives the first."""
    return sorted(os.listdir(directory), reverse=True)


def is_whiteout(found: os.stat_result) -> bool:
    """How an overlay's layer says that a name is gone (Documentation/filesystems/overlayfs.rst)."""
    return stat.S_ISCHR(found.st_mode) and found.st_rdev == 0


def is_opaque(directory: int | str) -> bool:
    """Whether a directory of a layer hides what the layers below have at its place."""
    return xattr(directory, OPAQUE) == b"y"


def xattr(file: int | str, name: str) -> bytes:
    try:
        return os.getxattr(file, name)
    except OSError:
        return b""
