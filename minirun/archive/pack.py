"""Write a tree as a tar stream, on the host and in the chroot child alike (pax format, POSIX.1-2001 pax(1))."""

import os
import stat
import tarfile
from dataclasses import dataclass
from typing import BinaryIO, Protocol, cast

from minirun.archive.tree_walk import (
    DIRECTORY,
    TreeCursor,
    identity,
    is_opaque,
    is_whiteout,
    lstat_at,
    names_in,
    read_xattr,
)
from minirun.errors import MinirunError
from minirun.kernel.own_ids import OVERLAY_MARKS
from minirun.kernel.tree_root import filesystem_magic, is_mount_point

CAPABILITY = "security.capability"
XATTR_HEADER = "SCHILY.xattr."  # as GNU tar, bsdtar and Go's archive/tar have it
CAPABILITY_HEADER = XATTR_HEADER + CAPABILITY
# How a layer says that a name of the layers below is gone, and that a directory hides all that is below it
# (https://github.com/opencontainers/image-spec/blob/main/layer.md#whiteouts).
WHITEOUT = ".wh."
OPAQUE_WHITEOUT = ".wh..wh..opq"
CHUNK = 1 << 16
END_SIZE = 2 * tarfile.BLOCKSIZE  # of the end mark, without the padding that tarfile adds
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC  # opening a FIFO must not block
_KERNEL_FILESYSTEMS = (
    0x9FA0,  # proc
    0x62656572,  # sysfs
    0x63677270,  # cgroup2
    0x27E0EB,  # cgroup
    0x1CD1,  # devpts
    0x19800202,  # mqueue
    0x64626720,  # debugfs
    0x74726163,  # tracefs
)


@dataclass
class _Level:
    stored: str
    names: list[str]


class Packer:
    """Write directory entries to a tar stream.

    contained: leave out the content of what the runtime mounted (/proc, /sys, /dev)
    one_mount: leave out the content of everything that is mounted in the tree
    layer: the tree is an image's layer or a container's writable one: write overlayfs's whiteouts and opaque marks as
        the OCI image specification has them
    skip: paths to leave out
    mtime: the time that every entry gets, in seconds since the epoch, instead of its own
    owner: the user and group id that every file gets instead of its own; not those of other archives

    `size` is the archive's size in bytes so far, as Docker counts it.
    """

    def __init__(
        self,
        stream: "Writable",
        contained: bool = False,
        one_mount: bool = False,
        layer: bool = False,
        skip: frozenset[str] = frozenset(),
        mtime: int | None = None,
        owner: tuple[int, int] | None = None,
    ) -> None:
        self.tar = tarfile.open(  # noqa: SIM115
            fileobj=cast(BinaryIO, stream), mode="w|", format=tarfile.PAX_FORMAT, bufsize=CHUNK
        )
        self._layer = layer
        self._skip = skip
        self._mtime = mtime
        self._owner = owner
        self.size = END_SIZE
        self._one_mount = one_mount
        self._contained = contained or one_mount
        self._devices = identity(os.lstat("/dev")) if contained and os.path.lexists("/dev") else None
        self._links: dict[tuple[int, int], str] = {}

    def __enter__(self) -> "Packer":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.tar.close()
        else:  # a partial archive gets no end mark, not even when tarfile's stream is garbage collected
            vars(self.tar)["fileobj"].closed = True

    def add(self, info: tarfile.TarInfo, content: BinaryIO) -> None:
        """Add a file with this header and content."""
        self._add(info, content)

    def add_directory(self, directory: int, name: str, stored: str) -> None:
        """Add the entry `name`, a directory, without what is in it."""
        fd = self._put(directory, name, stored)
        if fd is not None:
            os.close(fd)

    def add_tree(self, directory: int, name: str, stored: str, skip: frozenset[str] | None = None) -> None:
        """Add the entry `name` of a directory, and everything below it, as `stored`. FileNotFoundError if missing."""
        os.stat(name, dir_fd=directory, follow_symlinks=False)
        top = self._put(directory, name, stored, top=True)
        if top is not None:
            self.add_below(top, stored, skip)

    def add_below(self, directory: int, stored: str, skip: frozenset[str] | None = None) -> None:
        """Add what is in a directory, without the directory itself. Closes the descriptor.

        `skip` are paths to leave out, as they would be stored, instead of those of the packer.
        """
        skip = self._skip if skip is None else skip
        cursor = TreeCursor(directory)
        levels = [_Level(stored, names_in(directory))]
        try:
            while levels:
                if not levels[-1].names:
                    levels.pop()
                    if levels:
                        cursor.up()
                    continue
                name = levels[-1].names.pop()
                path = os.path.join(levels[-1].stored, name)
                child = self._put(cursor.fd, name, path) if path not in skip else None
                if child is not None:
                    levels.append(_Level(path, names_in(child)))
                    cursor.down(child)
        finally:
            cursor.close()

    def copy_member(self, tar: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        """Add a member of another archive."""
        content = tar.extractfile(member) if member.isreg() else None
        info = tarfile.TarInfo(member.name)
        for field in ("mode", "uid", "gid", "mtime", "linkname", "devmajor", "devminor"):
            setattr(info, field, getattr(member, field))
        info.type = tarfile.REGTYPE if content else member.type
        info.size = member.size if content else 0
        if capability := member.pax_headers.get(CAPABILITY_HEADER):
            info.pax_headers = {CAPABILITY_HEADER: capability}
        self._add(info, content, is_own=False)

    def _put(self, directory: int, name: str, stored: str, top: bool = False) -> int | None:
        """Add one entry, unless it vanished meanwhile. Return a descriptor if it is a directory to enter."""
        try:
            return self._put_entry(directory, name, stored, top)
        except FileNotFoundError:
            return None

    def _put_entry(self, directory: int, name: str, stored: str, top: bool) -> int | None:
        status = lstat_at(directory, name)
        if status is None or stat.S_ISSOCK(status.st_mode):
            return None
        if self._layer and is_whiteout(status):
            self._add_whiteout(os.path.join(os.path.dirname(stored), WHITEOUT + name))
            return None
        if self._layer and name.startswith(WHITEOUT):
            raise MinirunError(
                f"/{stored} cannot be in an image: names that begin with {WHITEOUT} mark deleted files there",
                "rename it",
            )
        mounted = self._contained and (top or is_mount_point(directory, name))
        if mounted and self._one_mount:
            self._add_covered(stored, status)
        elif stat.S_ISDIR(status.st_mode):
            return self._add_directory(os.open(name, DIRECTORY, dir_fd=directory), stored, mounted)
        elif stat.S_ISREG(status.st_mode):
            self._add_file(os.open(name, _FILE, dir_fd=directory), stored)
        elif stat.S_ISLNK(status.st_mode):
            info = _info(stored, status, tarfile.SYMTYPE)
            info.linkname = os.readlink(name, dir_fd=directory)
            self._add(self._linked(info, status))
        else:
            self._add_special(stored, status)
        return None

    def _add_directory(self, fd: int, stored: str, mounted: bool) -> int | None:
        status = os.fstat(fd)
        info = _info(stored, status, tarfile.DIRTYPE)
        if self._layer:
            info.pax_headers = self._xattrs(fd)
        self._add(info)
        if self._layer and is_opaque(fd):
            self._add_whiteout(os.path.join(stored, OPAQUE_WHITEOUT))
        runtime = mounted and (filesystem_magic(fd) in _KERNEL_FILESYSTEMS or identity(status) == self._devices)
        if runtime:
            os.close(fd)
        return None if runtime else fd

    def _add_covered(self, stored: str, status: os.stat_result) -> None:
        """Add an empty mount point in place of what is mounted there."""
        is_directory = stat.S_ISDIR(status.st_mode)
        info = tarfile.TarInfo(stored)
        info.type, info.mode = (tarfile.DIRTYPE, 0o755) if is_directory else (tarfile.REGTYPE, 0o644)
        info.mtime = status.st_mtime_ns // 10**9
        self._add(info)

    def _add_whiteout(self, stored: str) -> None:
        """Add a whiteout. It has no time: overlayfs's, made when the layer is unpacked, has another one."""
        info = tarfile.TarInfo(stored)
        info.mode = 0o600
        self._add(info)

    def _add_file(self, fd: int, stored: str) -> None:
        try:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                return None  # replaced since lstat: treated as removed
            info = self._linked(_info(stored, status, tarfile.REGTYPE), status)
            if info.islnk():
                return self._add(info)
            info.pax_headers = self._xattrs(fd)
            self._add(info, _FixedSizeReader(fd))
        finally:
            os.close(fd)

    def _xattrs(self, fd: int) -> dict[str, str]:
        names = [name for name in os.listxattr(fd) if is_kept(name)] if self._layer else [CAPABILITY]
        values = {name: value for name in names if (value := read_xattr(fd, name))}
        return {XATTR_HEADER + name: value.decode("utf-8", "surrogateescape") for name, value in values.items()}

    def _add_special(self, stored: str, status: os.stat_result) -> None:
        kinds = {stat.S_IFCHR: tarfile.CHRTYPE, stat.S_IFBLK: tarfile.BLKTYPE, stat.S_IFIFO: tarfile.FIFOTYPE}
        info = _info(stored, status, kinds[stat.S_IFMT(status.st_mode)])
        info.devmajor, info.devminor = os.major(status.st_rdev), os.minor(status.st_rdev)
        self._add(self._linked(info, status) if info.isfifo() else info)  # a copy may leave devices out

    def _linked(self, info: tarfile.TarInfo, status: os.stat_result) -> tarfile.TarInfo:
        """Make the header that of a hard link if the file is in the archive under another name."""
        first = self._links.setdefault(identity(status), info.name) if status.st_nlink > 1 else info.name
        if first != info.name:
            info.type, info.linkname, info.size = tarfile.LNKTYPE, first, 0
        return info

    def _add(self, info: tarfile.TarInfo, content: "_Readable | None" = None, is_own: bool = True) -> None:
        if self._owner is not None and is_own:
            info.uid, info.gid = self._owner
        info.mtime = info.mtime if self._mtime is None else self._mtime
        self.tar.addfile(info, content)
        drop_members(self.tar)
        self.size += entry_size(info)


def entry_size(info: tarfile.TarInfo) -> int:
    """Return the bytes that an entry takes in an archive, which `cp` reports as Docker does."""
    return tarfile.BLOCKSIZE * (1 + -(-info.size // tarfile.BLOCKSIZE))


def drop_members(tar: tarfile.TarFile) -> None:
    """Drop tarfile's growing list of members: an archive may have millions."""
    vars(tar)["members"].clear()


def is_kept(name: str) -> bool:
    """Return whether an extended attribute belongs to a layer's content; overlayfs's own marks do not."""
    if name.startswith(OVERLAY_MARKS):
        return False
    return name == CAPABILITY or name.startswith(("user.", "system.posix_acl_"))


class Writable(Protocol):
    """A stream to write bytes to."""

    def write(self, data: bytes, /) -> int:
        """Write `data`; return its length in bytes."""


class _Readable(Protocol):
    def read(self, count: int = -1, /) -> bytes: ...


class _FixedSizeReader:
    """Read as many bytes as the tar header says, even if the file changes: it is cut off, or padded with zeros."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def read(self, count: int = -1, /) -> bytes:
        data = b""
        while len(data) < count and (more := os.read(self._fd, count - len(data))):
            data += more
        return data.ljust(count, b"\0")


def _info(stored: str, status: os.stat_result, kind: bytes) -> tarfile.TarInfo:
    """Build a tar header. Times are whole seconds, as Docker writes them: fractions need an extra header per file."""
    info = tarfile.TarInfo(stored)
    info.type = kind
    info.mode = stat.S_IMODE(status.st_mode)
    info.uid, info.gid = status.st_uid, status.st_gid
    info.mtime = status.st_mtime_ns // 10**9
    info.size = status.st_size if kind == tarfile.REGTYPE else 0
    return info
