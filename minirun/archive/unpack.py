"""A tar stream as files: the same on the host and in the jail.

The entries are walked to component by component, below a descriptor of the directory to unpack into. On the host no
symlink is followed on the way, whoever made it; in the jail one is, since it leads nowhere else, and an archive of
/lib/x is right in a container whose /lib is a link to /usr/lib.
"""

import errno
import os
import stat
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, BinaryIO

from minirun.archive.pack import CAPABILITY, CHUNK, END_SIZE, XATTR_HEADER, entry_size, forget
from minirun.archive.tree_walk import look
from minirun.errors import MinirunError

_ZEROS = bytes(CHUNK)
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_KINDS = {tarfile.CHRTYPE: stat.S_IFCHR, tarfile.BLKTYPE: stat.S_IFBLK, tarfile.FIFOTYPE: stat.S_IFIFO}


@dataclass(frozen=True)
class Manner:
    """How to unpack."""

    inside: bool  # in the jail
    archive: bool = False  # -a: the numbers of user and group are kept
    rename: str = ""  # a new name for what is at the top of the archive
    contents: bool = False  # its top is "." and has no name
    layer: bool = False  # with the marks of an overlay's layer, which nobody but minirun may write


class Unpacker:
    """Unpacks into the directory `top`. `shown` is its name in messages."""

    def __init__(self, top: int, shown: str, manner: Manner) -> None:
        self.top = top
        self.shown = shown
        self.manner = manner
        self.skipped: list[str] = []  # device nodes, which are not made on the host
        self.size = END_SIZE
        self._at: list[str] = []
        self._here = os.dup(top)
        self._times: list[tuple[list[str], float]] = []

    def run_all(self, stream: BinaryIO) -> None:
        with tarfile.open(fileobj=stream, mode="r|", bufsize=CHUNK) as tar:
            self.run(tar)
        while stream.read(CHUNK):  # the padding behind the end mark: who wrote it shall not find the pipe closed
            pass

    def run(self, tar: tarfile.TarFile) -> None:
        for member in members(tar):
            self.size += entry_size(member)
            parts = self._parts(member.name)
            if parts:
                self._put(tar, member, parts)
        for parts, mtime in reversed(self._times):  # last: each entry made in a directory changes its time
            try:
                os.utime(parts[-1], (mtime, mtime), dir_fd=self._enter(parts[:-1]), follow_symlinks=False)
            except FileNotFoundError:
                pass
        os.close(self._here)

    def _parts(self, name: str) -> list[str]:
        parts = [part for part in name.split("/") if part not in ("", ".")]
        if ".." in parts:
            raise MinirunError(f'"{name}" is outside of "{self.shown}"')
        if not self.manner.rename:
            return parts
        return [self.manner.rename, *(parts if self.manner.contents else parts[1:])]

    def _put(self, tar: tarfile.TarFile, member: tarfile.TarInfo, parts: list[str]) -> None:
        directory = self._enter(parts[:-1])
        name = parts[-1]
        there = self._make_room(directory, parts, member.isdir())
        if member.isdir():
            if not there:
                os.mkdir(name, 0o700, dir_fd=directory)
            self._times.append((parts, member.mtime))
            return self._finish_directory(directory, name, member)
        if member.isreg():
            return self._put_file(tar, member, directory, name)
        if member.islnk():
            return self._put_link(member, directory, name)
        if member.issym():
            os.symlink(member.linkname, name, dir_fd=directory)
        elif member.type not in _KINDS:
            return None
        elif not self.manner.inside and not member.isfifo():
            return self.skipped.append("/".join(parts))
        else:
            device = os.makedev(member.devmajor, member.devminor) if not member.isfifo() else 0
            os.mknod(name, _KINDS[member.type] | (member.mode & 0o777), device, dir_fd=directory)
        self._own(member, name, directory)
        os.utime(name, (member.mtime, member.mtime), dir_fd=directory, follow_symlinks=False)
        return None

    def _make_room(self, directory: int, parts: list[str], is_directory: bool) -> bool:
        """A directory goes onto a directory, and anything else replaces what is no directory. True: it is there."""
        found = look(directory, parts[-1])
        if found is None:
            return False
        path = os.path.join(self.shown, *parts)
        if stat.S_ISDIR(found.st_mode):
            if not is_directory:
                raise MinirunError(f'cannot overwrite directory "{path}" with non-directory "{self.shown}"')
            return True
        if is_directory:
            raise MinirunError(f'cannot overwrite non-directory "{path}" with directory "{self.shown}"')
        os.unlink(parts[-1], dir_fd=directory)
        return False

    def _finish_directory(self, directory: int, name: str, member: tarfile.TarInfo) -> None:
        fd = self._open(directory, name, os.O_RDONLY | os.O_NOFOLLOW)
        try:
            if self.manner.archive:
                os.fchown(fd, member.uid, member.gid)
            os.fchmod(fd, self._mode(member))
            if self.manner.layer:
                self._set_xattrs(fd, member)
        finally:
            os.close(fd)

    def _put_file(self, tar: tarfile.TarFile, member: tarfile.TarInfo, directory: int, name: str) -> None:
        content = tar.extractfile(member)
        assert content is not None
        fd = os.open(name, _NEW_FILE, 0o600, dir_fd=directory)
        try:
            _fill(fd, content, member.size)
            if self.manner.archive:
                os.fchown(fd, member.uid, member.gid)
            os.fchmod(fd, self._mode(member))  # after the owner, whose change takes the set-id bits away
            self._set_xattrs(fd, member)
            os.utime(fd, (member.mtime, member.mtime))
        finally:
            os.close(fd)

    def _set_xattrs(self, fd: int, member: tarfile.TarInfo) -> None:
        for header, text in member.pax_headers.items():
            name = header.removeprefix(XATTR_HEADER)
            if name != header and (name == CAPABILITY or self.manner.layer) and self.manner.inside:
                os.setxattr(fd, name, text.encode("utf-8", "surrogateescape"))

    def _put_link(self, member: tarfile.TarInfo, directory: int, name: str) -> None:
        """Only to what is in the directory to unpack into, and never through a symlink."""
        parts = self._parts(member.linkname)
        if not parts:
            raise MinirunError(f'invalid hardlink "{member.linkname}" -> "{name}"')
        source = self._walk(self.top, parts[:-1], make=False)
        try:
            os.link(parts[-1], name, src_dir_fd=source, dst_dir_fd=directory, follow_symlinks=False)
        finally:
            os.close(source)

    def _own(self, member: tarfile.TarInfo, name: str, directory: int) -> None:
        if self.manner.archive:
            os.chown(name, member.uid, member.gid, dir_fd=directory, follow_symlinks=False)

    def _mode(self, member: tarfile.TarInfo) -> int:
        """On the host no file gets the set-id bits of a container's: it would run there with its owner's rights."""
        return member.mode & (0o7777 if self.manner.inside else 0o1777)

    def _enter(self, parts: list[str]) -> int:
        """The directory of that name below the top, made where it is missing. Mostly it is the one of last time."""
        if self._at != parts[: len(self._at)]:
            os.close(self._here)
            self._here, self._at = os.dup(self.top), []
        if parts != self._at:
            here = self._walk(self._here, parts[len(self._at) :], make=True)
            os.close(self._here)
            self._here, self._at = here, parts
        return self._here

    def _walk(self, start: int, parts: list[str], make: bool) -> int:
        here = os.dup(start)
        try:
            for part in parts:
                below = self._step(here, part, make)
                os.close(here)
                here = below
        except BaseException:
            os.close(here)
            raise
        return here

    def _step(self, directory: int, part: str, make: bool) -> int:
        flags = os.O_PATH | (0 if self.manner.inside else os.O_NOFOLLOW)
        try:
            return self._open(directory, part, flags)
        except FileNotFoundError:
            if not make:
                raise
            os.mkdir(part, 0o755, dir_fd=directory)
            return self._open(directory, part, flags | os.O_NOFOLLOW)

    def _open(self, directory: int, name: str, flags: int) -> int:
        try:
            return os.open(name, flags | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=directory)
        except OSError as error:
            if error.errno not in (errno.ENOTDIR, errno.ELOOP):
                raise
            raise MinirunError(f'cannot overwrite non-directory "{name}" with directory "{self.shown}"') from None


def members(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    while (member := tar.next()) is not None:
        yield member
        forget(tar)


def _fill(fd: int, content: IO[bytes], size: int) -> None:
    """Zeros become holes: a sparse file stays one (its size was all that the archive could say)."""
    while data := content.read(CHUNK):
        if data == _ZEROS[: len(data)]:
            os.lseek(fd, len(data), os.SEEK_CUR)
            continue
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]
    os.ftruncate(fd, size)
