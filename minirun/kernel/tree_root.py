"""The root of a container's tree, and walking below it (openat2(2)).

A container's tree is hostile: every path in it may be a symlink, and may become one. So paths are walked one component
at a time below a descriptor of the root with RESOLVE_IN_ROOT.
"""

import errno
import os
import stat
from collections import deque

from minirun.kernel.syscalls import check, ffi, lib

PROC_SUPER_MAGIC = lib.PROC_SUPER_MAGIC
_MOST_LINKS = 40  # as the kernel's own walk
_RESOLVE_NO_XDEV = 0x01


class Root:
    """The root of a container's tree: a directory descriptor, below which all its paths are opened."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.fd = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)

    def __str__(self) -> str:
        return "/" if self.path == "." else self.path

    def open(self, path: str, flags: int = os.O_PATH, follow: bool = True) -> int:
        """Open a path below the root; an absolute symlink starts at this root again. Returns a descriptor."""
        resolve = lib.RESOLVE_IN_ROOT | lib.RESOLVE_NO_MAGICLINKS
        if not follow:
            resolve |= lib.RESOLVE_NO_SYMLINKS
        return _openat2(self.fd, path, flags, resolve)

    def resolve(self, path: str) -> str:
        """The path that `open` leads to, relative to the root and without symlinks; "." for the root itself.

        Needs no /proc. OSError as `open`.
        """
        real: list[str] = []
        parts = deque(_parts(path))
        links = 0
        while parts:
            part = parts.popleft()
            if part == "..":
                real = real[:-1]
                continue
            directory = self.open("/".join(real) or ".", os.O_PATH | os.O_DIRECTORY, follow=False)
            try:
                link = _read_link(directory, part)
                if link is None:
                    os.stat(part, dir_fd=directory, follow_symlinks=False)
            finally:
                os.close(directory)
            if link is None:
                real.append(part)
                continue
            links += 1
            if links > _MOST_LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
            parts.extendleft(reversed(_parts(link)))
            if link.startswith("/"):
                real = []
        return "/".join(real) or "."

    def directory(self, path: str, mode: int = 0o755) -> int:
        """A descriptor of a directory below the root; missing components are made.

        A symlink is followed as the container would see it. If it is dangling, its target is made below the root.
        """
        above = [os.dup(self.fd)]
        parts = deque(_parts(path))
        links = 0
        try:
            while parts:
                part = parts.popleft()
                if part == "..":
                    if len(above) > 1:
                        os.close(above.pop())
                    continue
                link = _read_link(above[-1], part)
                if link is None:
                    above.append(_enter(above[-1], part, mode))
                    continue
                links += 1
                if links > _MOST_LINKS:
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
                parts.extendleft(reversed(_parts(link)))
                while link.startswith("/") and len(above) > 1:
                    os.close(above.pop())
            return os.dup(above[-1])
        finally:
            for fd in above:
                os.close(fd)

    def file(self, path: str, mode: int = 0o644) -> int:
        """A descriptor of a file below the root, which is made empty if missing; symlinks as in `directory`."""
        for _ in range(_MOST_LINKS):
            parent, name = os.path.split("/" + path.strip("/"))
            directory = self.directory(parent)
            try:
                link = _read_link(directory, name)
                if link is None:
                    return _ensure_file(directory, name, mode)
                path = os.path.join(parent, link)
            finally:
                os.close(directory)
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)

    def real_directory(self, name: str) -> int:
        """A descriptor of a top-level directory that the runtime mounts on; anything else there is replaced.

        An image (or an earlier run of the container) may have put a symlink at /proc. The replacement lands in the
        container's own writable layer, as Docker's init layer hides such a link.
        """
        try:
            if not stat.S_ISDIR(os.stat(name, dir_fd=self.fd, follow_symlinks=False).st_mode):
                os.unlink(name, dir_fd=self.fd)
                os.mkdir(name, 0o755, dir_fd=self.fd)
        except FileNotFoundError:
            os.mkdir(name, 0o755, dir_fd=self.fd)
        return self.open(name, os.O_PATH | os.O_DIRECTORY, follow=False)


def is_mount_point(directory: int, name: str) -> bool:
    """Whether something is mounted on an entry of a directory (openat2(2), RESOLVE_NO_XDEV)."""
    try:
        os.close(_openat2(directory, name, os.O_PATH | os.O_NOFOLLOW, _RESOLVE_NO_XDEV))
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        return True
    return False


def filesystem_magic(fd: int) -> int:
    """f_type of the file system that a descriptor is on (statfs(2))."""
    magic = ffi.new("unsigned long *")
    check(lib.sys_filesystem_magic(fd, magic))
    return int(magic[0])


def _read_link(directory: int, name: str) -> str | None:
    """The target of a symlink; None for anything else, and for what does not exist."""
    try:
        return os.readlink(name, dir_fd=directory)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOENT):
            raise
        return None


def _enter(directory: int, name: str, mode: int) -> int:
    try:
        os.mkdir(name, mode, dir_fd=directory)
    except FileExistsError:
        pass
    return _openat2(directory, name, os.O_PATH | os.O_DIRECTORY, lib.RESOLVE_BENEATH | lib.RESOLVE_NO_SYMLINKS)


def _ensure_file(directory: int, name: str, mode: int) -> int:
    try:
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
        os.close(os.open(name, flags, mode, dir_fd=directory))
    except FileExistsError:
        pass
    return _openat2(directory, name, os.O_PATH, lib.RESOLVE_BENEATH | lib.RESOLVE_NO_SYMLINKS)


def _openat2(fd: int, path: str, flags: int, resolve: int) -> int:
    return check(lib.sys_openat2(fd, os.fsencode(path), flags | os.O_CLOEXEC, 0, resolve), path)


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part not in ("", ".")]
