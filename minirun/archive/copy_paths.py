"""What the two paths of `cp` mean, by the rules of its documentation: the same on the host and in the jail.

https://docs.docker.com/reference/cli/docker/container/cp/
"""

import errno
import os
import stat
from dataclasses import dataclass

from minirun.errors import MinirunError


@dataclass(frozen=True)
class Source:
    """An entry of a directory, and its name in the archive: "." when only what is in it is meant."""

    directory: str
    name: str
    stored: str
    is_directory: bool


@dataclass(frozen=True)
class Target:
    """A directory to unpack into, and the new name for what is unpacked ("": it keeps its own)."""

    directory: str
    rename: str = ""

    @property
    def path(self) -> str:
        return os.path.join(self.directory, self.rename) if self.rename else self.directory


def split_argument(argument: str) -> tuple[str, str]:
    """(container, path); a local path has "" for the container. One with a colon is written ./a:b or /a:b."""
    name, colon, path = argument.partition(":")
    if argument.startswith(("/", ".")) or not colon:
        return "", argument
    if not name:
        raise MinirunError(f"{argument!r} names no container before the colon", f"a file of that name is ./{argument}")
    return name, path


def absolute(path: str) -> str:
    """On the host: from the working directory. A final / or /. is kept, because it says something."""
    clean = os.path.abspath(path)
    return clean if clean == "/" else clean + _ending(path)


def inside(path: str) -> str:
    """In a container: from its root, with or without the first slash."""
    clean = os.path.normpath("/" + path.lstrip("/"))
    return clean if clean == "/" else clean + _ending(path)


def find_source(path: str, follow: bool) -> Source:
    """`path` is absolute. Its last part is followed only if asked to, or if a slash behind it says so."""
    clean = os.path.normpath(path)
    asserted = _asserts_directory(path)
    if follow or asserted:
        real = os.path.realpath(clean, strict=True)
    else:
        real = os.path.join(os.path.realpath(os.path.dirname(clean), strict=True), os.path.basename(clean))
    is_directory = stat.S_ISDIR(os.lstat(real).st_mode)
    if asserted and not is_directory:
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
    contents = clean == "/" or path.endswith("/.")
    directory, name = os.path.split(real)
    return Source(directory, name or ".", "." if contents else os.path.basename(clean), is_directory)


def find_target(path: str, from_directory: bool) -> Target:
    """Where a copy goes. FileNotFoundError names a parent that is missing."""
    real = os.path.realpath(path)  # also of a symlink that leads to nothing yet
    found = _look(real)
    if found is not None and stat.S_ISDIR(found.st_mode):
        return Target(real)
    if found is not None and _asserts_directory(path):
        raise MinirunError("not a directory")
    if found is not None and stat.S_IFMT(found.st_mode) in (stat.S_IFCHR, stat.S_IFBLK):
        raise MinirunError(f'"{path}" must be a directory or a regular file: got a device')
    if found is not None and from_directory:
        raise MinirunError("cannot copy directory")
    directory, name = os.path.split(real)
    parent = _look(directory)
    if parent is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), directory)
    if not stat.S_ISDIR(parent.st_mode):
        raise MinirunError("not a directory")
    if found is None and not from_directory and _asserts_directory(path):
        raise MinirunError("no such directory")
    return Target(directory, name)


def _ending(path: str) -> str:
    if os.path.basename(path) == ".":
        return "/."
    return "/" if path.endswith("/") else ""


def _asserts_directory(path: str) -> bool:
    return path.endswith(("/", "/."))


def _look(path: str) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
