"""What the two paths of `cp` mean, by the rules of its documentation, on the host and in the chroot child alike.

https://docs.docker.com/reference/cli/docker/container/cp/
"""

import errno
import os
import stat
from dataclasses import dataclass

from minirun.errors import MinirunError


@dataclass(frozen=True)
class Source:
    """The directory entry to copy."""

    directory: str
    name: str
    stored: str  # its name in the archive; "." means only the content of the directory
    is_directory: bool


@dataclass(frozen=True)
class Target:
    """The directory to unpack into."""

    directory: str
    rename: str = ""  # the new name of what is unpacked; "" keeps its own


def split_argument(argument: str) -> tuple[str, str]:
    """Split an argument of `cp` into container and path; the container is "" for a local path.

    A local path with a colon must begin with / or a dot: ./a:b. MinirunError if no container is before the colon.
    """
    name, colon, path = argument.partition(":")
    if argument.startswith(("/", ".")) or not colon:
        return "", argument
    if not name:
        raise MinirunError(
            f"{argument!r} has no container before the colon", f"for a file of that name, use ./{argument}"
        )
    return name, path


def absolute(path: str) -> str:
    """Make a path on the host absolute. A final / or /. is kept, because it has a meaning."""
    clean = os.path.abspath(path)
    return clean if clean == "/" else clean + _ending(path)


def rooted(path: str) -> str:
    """Make a path in a container absolute: it starts at the root, with or without the first slash."""
    clean = os.path.normpath("/" + path.lstrip("/"))
    return clean if clean == "/" else clean + _ending(path)


def find_source(path: str, follow: bool) -> Source:
    """Find what to copy at an absolute path.

    A symlink as the last component is followed only with `follow`, or if the path ends with a slash. OSError if there
    is no such file; NotADirectoryError if the path ends with a slash but is no directory.
    """
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
    """Find where a copy goes; `from_directory`: the source is a directory.

    FileNotFoundError with the path of a missing parent; MinirunError, in Docker's words, for a wrong type of target.
    """
    real = os.path.realpath(path)  # also for a symlink whose target does not exist yet
    status = _lstat(real)
    if status is not None and stat.S_ISDIR(status.st_mode):
        return Target(real)
    if status is not None and _asserts_directory(path):
        raise MinirunError("not a directory")
    if status is not None and stat.S_IFMT(status.st_mode) in (stat.S_IFCHR, stat.S_IFBLK):
        raise MinirunError(f'"{path}" must be a directory or a regular file: got a device')
    if status is not None and from_directory:
        raise MinirunError("cannot copy directory")
    directory, name = os.path.split(real)
    parent = _lstat(directory)
    if parent is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), directory)
    if not stat.S_ISDIR(parent.st_mode):
        raise MinirunError("not a directory")
    if status is None and not from_directory and _asserts_directory(path):
        raise MinirunError("no such directory")
    return Target(directory, name)


def _ending(path: str) -> str:
    if os.path.basename(path) == ".":
        return "/."
    return "/" if path.endswith("/") else ""


def _asserts_directory(path: str) -> bool:
    return path.endswith(("/", "/."))


def _lstat(path: str) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
