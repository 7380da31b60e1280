"""Unpack a tar stream, on the host and in the chroot child alike.

The path of each entry is walked component by component, below a descriptor of the target directory. On the host no
symlink on the way is followed, whoever made it. In the chroot child symlinks are followed, since they cannot lead out,
and an archive of /lib/x is right in a container whose /lib is a link to /usr/lib.
"""

import errno
import os
import shutil
import stat
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, BinaryIO

from minirun.archive.pack import (
    CAPABILITY,
    CHUNK,
    END_SIZE,
    OPAQUE_WHITEOUT,
    WHITEOUT,
    XATTR_HEADER,
    drop_members,
    entry_size,
    is_kept,
)
from minirun.archive.tree_walk import OPAQUE, is_whiteout, lstat_at
from minirun.errors import MinirunError

_ZEROS = bytes(CHUNK)
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_KINDS = {tarfile.CHRTYPE: stat.S_IFCHR, tarfile.BLKTYPE: stat.S_IFBLK, tarfile.FIFOTYPE: stat.S_IFIFO}


@dataclass(frozen=True)
class UnpackOptions:
    """How to unpack."""

    chrooted: bool  # in the chroot child, not on the host
    keep_owner: bool = False  # cp -a: keep numeric user and group ids
    rename: str = ""  # a new name for the archive's top entry
    contents: bool = False  # the top entry is "." and has no name
    # An image's layer: its whiteouts become overlayfs's, and an entry replaces an earlier one of its name.
    layer: bool = False
    replaces: bool = False  # an entry replaces what has its name, even a directory with its content
    change: Callable[[tarfile.TarInfo], None] | None = None  # called for each entry before it is made


class StrictInfo(tarfile.TarInfo):
    """Refuse what tarfile takes for the end: an unreadable header in the middle, and a missing end mark."""

    @classmethod
    def fromtarfile(cls, tarfile_: tarfile.TarFile) -> "StrictInfo":
        """Read the next header. tarfile.ReadError for one that is damaged or missing."""
        try:
            return super().fromtarfile(tarfile_)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(f"{error}: it is no tar archive, or it was cut off") from None


class Unpacker:
    """Unpack into the directory `top`, a descriptor; `shown` is its name in messages.

    `skipped` are the device nodes that were not made on the host, `size` the archive's size in bytes.
    """

    def __init__(self, top: int, shown: str, options: UnpackOptions) -> None:
        self.top = top
        self.shown = shown
        self.options = options
        self.skipped: list[str] = []
        self.size = END_SIZE
        self._directory = os.dup(top)  # the directory of the last entry
        self._directory_parts: list[str] = []
        self._times: list[tuple[list[str], float]] = []

    def unpack_stream(self, stream: BinaryIO) -> None:
        """Unpack the archive that `stream` holds, and read the stream to its end."""
        with tarfile.open(fileobj=stream, mode="r|", bufsize=CHUNK, tarinfo=StrictInfo) as tar:
            self.unpack(tar)
        while stream.read(CHUNK):  # read the padding, so that the writer does not get SIGPIPE
            pass

    def unpack(self, tar: tarfile.TarFile) -> None:
        """Unpack every member. MinirunError for one that does not fit into the target directory."""
        for member in members(tar):
            self.size += entry_size(member)
            if self.options.change is not None:
                self.options.change(member)
            parts = self._parts(member.name)
            if parts:
                self._put(tar, member, parts)
        for parts, mtime in reversed(self._times):  # last: each entry made in a directory changes its time
            try:
                os.utime(parts[-1], (mtime, mtime), dir_fd=self._enter(parts[:-1]), follow_symlinks=False)
            except FileNotFoundError:
                pass
        os.close(self._directory)

    def _parts(self, name: str) -> list[str]:
        parts = [part for part in name.split("/") if part not in ("", ".")]
        if ".." in parts:
            raise MinirunError(f'"{name}" is outside of "{self.shown}"')
        if not self.options.rename:
            return parts
        return [self.options.rename, *(parts if self.options.contents else parts[1:])]

    def _put(self, tar: tarfile.TarFile, member: tarfile.TarInfo, parts: list[str]) -> None:
        directory = self._enter(parts[:-1])
        name = parts[-1]
        if self.options.layer and name.startswith(WHITEOUT):
            return _put_whiteout(directory, name)
        exists = self._make_room(directory, parts, member.isdir())
        if member.isdir():
            if not exists:
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
        elif not self.options.chrooted and not member.isfifo():
            return self.skipped.append("/".join(parts))
        else:
            device = os.makedev(member.devmajor, member.devminor) if not member.isfifo() else 0
            os.mknod(name, _KINDS[member.type] | (member.mode & 0o777), device, dir_fd=directory)
        self._own(member, name, directory)
        os.utime(name, (member.mtime, member.mtime), dir_fd=directory, follow_symlinks=False)
        return None

    def _make_room(self, directory: int, parts: list[str], is_directory: bool) -> bool:
        """Return True to merge into an existing directory; remove an existing entry that is not one."""
        status = lstat_at(directory, parts[-1])
        if status is None:
            return False
        path = os.path.join(self.shown, *parts)
        if self.options.layer and is_directory and not stat.S_ISDIR(status.st_mode):
            os.unlink(parts[-1], dir_fd=directory)
            if is_whiteout(status):  # the layers below have a directory of this name, which this one replaces
                os.mkdir(parts[-1], 0o700, dir_fd=directory)
                _set_opaque(directory, parts[-1])
            return is_whiteout(status)
        if self.options.replaces and is_directory != stat.S_ISDIR(status.st_mode):
            _remove(directory, parts[-1], status)
            return False
        if stat.S_ISDIR(status.st_mode):
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
            if self.options.keep_owner:
                os.fchown(fd, member.uid, member.gid)
            os.fchmod(fd, member.mode & 0o7777)
            if self.options.layer:
                self._set_xattrs(fd, member)
        finally:
            os.close(fd)

    def _put_file(self, tar: tarfile.TarFile, member: tarfile.TarInfo, directory: int, name: str) -> None:
        content = tar.extractfile(member)
        assert content is not None
        fd = os.open(name, _NEW_FILE, 0o600, dir_fd=directory)
        try:
            _fill(fd, content, member.size)
            if self.options.keep_owner:
                os.fchown(fd, member.uid, member.gid)
            os.fchmod(fd, member.mode & 0o7777)  # after the owner, whose change takes the set-id bits away
            self._set_xattrs(fd, member)
            os.utime(fd, (member.mtime, member.mtime))
        finally:
            os.close(fd)

    def _set_xattrs(self, fd: int, member: tarfile.TarInfo) -> None:
        for header, text in member.pax_headers.items():
            name = header.removeprefix(XATTR_HEADER)
            wanted = is_kept(name) if self.options.layer else name == CAPABILITY
            if name != header and wanted and self.options.chrooted:
                os.setxattr(fd, name, text.encode("utf-8", "surrogateescape"))

    def _put_link(self, member: tarfile.TarInfo, directory: int, name: str) -> None:
        """Make a hard link to something below the target directory, never through a symlink."""
        parts = self._parts(member.linkname)
        if not parts:
            raise MinirunError(f'invalid hardlink "{member.linkname}" -> "{name}"')
        source = self._walk(self.top, parts[:-1], make=False)
        try:
            os.link(parts[-1], name, src_dir_fd=source, dst_dir_fd=directory, follow_symlinks=False)
        finally:
            os.close(source)

    def _own(self, member: tarfile.TarInfo, name: str, directory: int) -> None:
        if self.options.keep_owner:
            os.chown(name, member.uid, member.gid, dir_fd=directory, follow_symlinks=False)

    def _enter(self, parts: list[str]) -> int:
        """Open a directory below the top, and make what is missing. Mostly it is the same as for the last entry."""
        known = self._directory_parts
        if known != parts[: len(known)]:
            os.close(self._directory)
            self._directory, known = os.dup(self.top), []
        if parts != known:
            directory = self._walk(self._directory, parts[len(known) :], make=True)
            os.close(self._directory)
            self._directory, known = directory, parts
        self._directory_parts = known
        return self._directory

    def _walk(self, start: int, parts: list[str], make: bool) -> int:
        directory = os.dup(start)
        try:
            for part in parts:
                child = self._step(directory, part, make)
                os.close(directory)
                directory = child
        except BaseException:
            os.close(directory)
            raise
        return directory

    def _step(self, directory: int, part: str, make: bool) -> int:
        flags = os.O_PATH | (0 if self.options.chrooted else os.O_NOFOLLOW)
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
    """Yield an archive's members, keeping none in memory."""
    while (member := tar.next()) is not None:
        yield member
        drop_members(tar)


def _remove(directory: int, name: str, status: os.stat_result) -> None:
    if stat.S_ISDIR(status.st_mode):
        shutil.rmtree(name, dir_fd=directory)
    else:
        os.unlink(name, dir_fd=directory)


def _put_whiteout(directory: int, name: str) -> None:
    """Turn a whiteout of an image's layer into overlayfs's. It is about the layers below, not about this one."""
    hidden = name.removeprefix(WHITEOUT)
    if hidden in ("", ".", ".."):
        raise MinirunError(f'invalid whiteout "{name}"')
    status = lstat_at(directory, hidden)
    if name == OPAQUE_WHITEOUT:
        _set_opaque(directory, ".")
    elif status is None:
        os.mknod(hidden, stat.S_IFCHR, os.makedev(0, 0), dir_fd=directory)
    elif stat.S_ISDIR(status.st_mode):
        _set_opaque(directory, hidden)


def _set_opaque(directory: int, name: str) -> None:
    fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    try:
        os.setxattr(fd, OPAQUE, b"y")
    finally:
        os.close(fd)


def _fill(fd: int, content: IO[bytes], size: int) -> None:
    """Write a file's content with zeros as holes, so that a sparse file stays sparse."""
    while data := content.read(CHUNK):
        if data == _ZEROS[: len(data)]:
            os.lseek(fd, len(data), os.SEEK_CUR)
            continue
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]
    os.ftruncate(fd, size)
