"""Removing trees that a container wrote, which may hold anything, and writing small files."""

import errno
import os
import re
from contextlib import suppress
from pathlib import Path

from minirun.kernel.seam import shell


@shell("rm -rf {path}")
def remove_tree(path: Path) -> None:
    """Remove a directory and all below it; one that is gone already is fine.

    No recursion and no following: a container may nest directories deeper than Python recurses or than a path can
    be long, so a directory that is not empty is first moved up to the top.
    """
    try:
        top = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        moved = 0
        while names := _names(top):
            for name in names:
                moved = _remove_entry(top, name, moved)
    finally:
        os.close(top)
    try:
        os.rmdir(path)
    except FileNotFoundError:
        pass


def _names(directory: int) -> list[str]:
    try:
        return os.listdir(directory)
    except FileNotFoundError:  # the directory itself was removed meanwhile, by another remover
        return []


def _remove_entry(top: int, name: str, moved: int) -> int:
    """Remove one entry of the top directory; the entries below it move up. One that is gone meanwhile is fine."""
    try:
        os.unlink(name, dir_fd=top)
    except FileNotFoundError:
        pass
    except IsADirectoryError:
        try:
            return _remove_directory(top, name, moved)
        except FileNotFoundError:
            pass
    return moved


def _remove_directory(top: int, name: str, moved: int) -> int:
    directory = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=top)
    try:
        for child in os.listdir(directory):
            moved += 1
            _lift(directory, child, top, f".lifted-{os.getpid()}-{moved}")
    finally:
        os.close(directory)
    os.rmdir(name, dir_fd=top)
    return moved


def _lift(directory: int, child: str, top: int, name: str) -> None:
    try:
        os.unlink(child, dir_fd=directory)
    except IsADirectoryError:
        try:
            os.rmdir(child, dir_fd=directory)
        except OSError as error:
            if error.errno != errno.ENOTEMPTY:
                raise
            os.rename(child, name, src_dir_fd=directory, dst_dir_fd=top)


def write_private(path: Path, text: str, mode: int = 0o644) -> None:
    """Write a small file whole or not at all: to a temporary name, then rename(2)."""
    temporary = path.with_name(path.name + ".new")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    with os.fdopen(fd, "w") as file:
        file.write(text)
    os.chmod(temporary, mode)
    os.rename(temporary, path)


@shell("mv {source}/* {target}")
def move_content(source: Path, target: Path) -> None:
    """Move everything in a directory to another one of the same file system."""
    for name in os.listdir(source):
        os.rename(source / name, target / name)


@shell("rm -f {path}")
def remove_file(path: Path) -> None:
    """Remove a file; one that is gone already is fine."""
    path.unlink(missing_ok=True)


@shell("rmdir {path}")
def remove_directory(path: Path) -> None:
    """Remove an empty directory; one that is gone already is fine. OSError when it is not empty, or a mount point."""
    with suppress(FileNotFoundError):
        path.rmdir()


def mount_points(below: Path) -> list[Path]:
    """The mount points below a directory in this mount namespace (proc_pid_mountinfo(5))."""
    prefix = f"{below}/"
    words = (line.split(" ", 5)[4] for line in Path("/proc/self/mountinfo").read_text().splitlines())
    paths = (re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), word) for word in words)
    return [Path(path) for path in paths if path.startswith(prefix)]
