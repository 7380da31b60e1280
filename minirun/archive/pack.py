"""A tree as a tar stream: the same on the host and in the jail (pax format, POSIX.1-2001 pax(1))."""

import os
import stat
import tarfile
from dataclasses import dataclass
from typing import BinaryIO, Protocol, cast

from minirun.archive.tree_walk import DIRECTORY, OPAQUE, Place, identity, look, names_in, xattr
from minirun.kernel.tree_root import filesystem_magic, is_mount_point

CAPABILITY = "security.capability"
XATTR_HEADER = "SCHILY.xattr."  # as GNU tar, bsdtar and Go's archive/tar have it
CAPABILITY_HEADER = XATTR_HEADER + CAPABILITY
CHUNK = 1 << 16
END_SIZE = 2 * tarfile.BLOCKSIZE  # the end mark, without the padding that tarfile puts behind it
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC  # a FIFO there must not hold us
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
    """Writes entries to a stream. `contained`: what the runtime mounted (/proc, /sys, /dev) is left empty;
    `one_mount`: whatever is mounted in the tree is. `layer`: a container's own layer, as its mount does not show it:
    with whiteouts and marks, and without the names in `skip`."""

    def __init__(
        self,
        stream: "Writable",
        contained: bool = False,
        one_mount: bool = False,
        layer: bool = False,
        skip: frozenset[str] = frozenset(),
    ) -> None:
        self.tar = tarfile.open(  # noqa: SIM115
            fileobj=cast(BinaryIO, stream), mode="w|", format=tarfile.PAX_FORMAT, bufsize=CHUNK
        )
        self._layer = layer
        self._skip = skip
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
        else:  # half an archive gets no end mark, not even when tarfile's stream is collected
            vars(self.tar)["fileobj"].closed = True

    def add_tree(self, directory: int, name: str, stored: str) -> None:
        """An entry of a directory, and all below it, under the name `stored`."""
        os.stat(name, dir_fd=directory, follow_symlinks=False)  # what was asked for must be there
        top = self._put(directory, name, stored, top=True)
        if top is not None:
            self.add_below(top, stored)

    def add_below(self, directory: int, stored: str) -> None:
        """What is in a directory, but not itself. The descriptor is closed."""
        place = Place(directory)
        levels = [_Level(stored, names_in(directory))]
        try:
            while levels:
                if not levels[-1].names:
                    levels.pop()
                    if levels:
                        place.up()
                    continue
                name = levels[-1].names.pop()
                path = os.path.join(levels[-1].stored, name)
                child = self._put(place.fd, name, path) if path not in self._skip else None
                if child is not None:
                    levels.append(_Level(path, names_in(child)))
                    place.down(child)
        finally:
            place.close()

    def pass_on(self, tar: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        """An entry of another archive."""
        content = tar.extractfile(member) if member.isreg() else None
        info = tarfile.TarInfo(member.name)
        for field in ("mode", "uid", "gid", "mtime", "linkname", "devmajor", "devminor"):
            setattr(info, field, getattr(member, field))
        info.type = tarfile.REGTYPE if content else member.type
        info.size = member.size if content else 0
        capability = member.pax_headers.get(CAPABILITY_HEADER)
        if capability:
            info.pax_headers = {CAPABILITY_HEADER: capability}
        self._add(info, content)

    def _put(self, directory: int, name: str, stored: str, top: bool = False) -> int | None:
        """One entry; a descriptor when it is a directory to go into. What vanished meanwhile is left out."""
        try:
            return self._put_entry(directory, name, stored, top)
        except FileNotFoundError:
            return None

    def _put_entry(self, directory: int, name: str, stored: str, top: bool) -> int | None:
        found = look(directory, name)
        if found is None or stat.S_ISSOCK(found.st_mode):
            return None
        mounted = self._contained and (top or is_mount_point(directory, name))
        if mounted and self._one_mount:
            self._add_covered(stored, found)
        elif stat.S_ISDIR(found.st_mode):
            return self._add_directory(os.open(name, DIRECTORY, dir_fd=directory), stored, mounted)
        elif stat.S_ISREG(found.st_mode):
            self._add_file(os.open(name, _FILE, dir_fd=directory), stored)
        elif stat.S_ISLNK(found.st_mode):
            info = _info(stored, found, tarfile.SYMTYPE)
            info.linkname = os.readlink(name, dir_fd=directory)
            self._add(info)
        else:
            self._add_special(stored, found)
        return None

    def _add_directory(self, fd: int, stored: str, mounted: bool) -> int | None:
        found = os.fstat(fd)
        info = _info(stored, found, tarfile.DIRTYPE)
        if self._layer:
            info.pax_headers = self._xattrs(fd)
        self._add(info)
        runtime = mounted and (filesystem_magic(fd) in _KERNEL_FILESYSTEMS or identity(found) == self._devices)
        if runtime:
            os.close(fd)
        return None if runtime else fd

    def _add_covered(self, stored: str, found: os.stat_result) -> None:
        """A mount point, in place of what is mounted there."""
        is_directory = stat.S_ISDIR(found.st_mode)
        info = tarfile.TarInfo(stored)
        info.type, info.mode = (tarfile.DIRTYPE, 0o755) if is_directory else (tarfile.REGTYPE, 0o644)
        info.mtime = found.st_mtime_ns // 10**9
        self._add(info)

    def _add_file(self, fd: int, stored: str) -> None:
        try:
            found = os.fstat(fd)
            if not stat.S_ISREG(found.st_mode):
                return None  # it has been replaced since the look: no more there than if it had been removed
            info = _info(stored, found, tarfile.REGTYPE)
            first = self._links.setdefault(identity(found), stored) if found.st_nlink > 1 else stored
            if first != stored:
                info.type, info.linkname, info.size = tarfile.LNKTYPE, first, 0
                return self._add(info)
            info.pax_headers = self._xattrs(fd)
            self._add(info, _Exactly(fd))
        finally:
            os.close(fd)

    def _xattrs(self, fd: int) -> dict[str, str]:
        names = [name for name in os.listxattr(fd) if _is_kept(name)] if self._layer else [CAPABILITY]
        found = {name: value for name in names if (value := xattr(fd, name))}
        return {XATTR_HEADER + name: value.decode("utf-8", "surrogateescape") for name, value in found.items()}

    def _add_special(self, stored: str, found: os.stat_result) -> None:
        kinds = {stat.S_IFCHR: tarfile.CHRTYPE, stat.S_IFBLK: tarfile.BLKTYPE, stat.S_IFIFO: tarfile.FIFOTYPE}
        info = _info(stored, found, kinds[stat.S_IFMT(found.st_mode)])
        info.devmajor, info.devminor = os.major(found.st_rdev), os.minor(found.st_rdev)
        self._add(info)

    def _add(self, info: tarfile.TarInfo, content: "_Readable | None" = None) -> None:
        self.tar.addfile(info, content)
        forget(self.tar)
        self.size += entry_size(info)


def entry_size(info: tarfile.TarInfo) -> int:
    """What an entry takes in an archive, by which Docker says how much it has copied."""
    return tarfile.BLOCKSIZE * (1 + -(-info.size // tarfile.BLOCKSIZE))


def forget(tar: tarfile.TarFile) -> None:
    """The entries so far: it keeps each, and an archive may have millions."""
    vars(tar)["members"].clear()


def _is_kept(name: str) -> bool:
    """Of a layer. What else an overlay notes (origin, impure, nlink) is true of the layer where it stands, only."""
    return name in (CAPABILITY, OPAQUE) or name.startswith(("user.", "system.posix_acl_"))


class Writable(Protocol):
    def write(self, data: bytes, /) -> int: ...


class _Readable(Protocol):
    def read(self, count: int = -1, /) -> bytes: ...


class _Exactly:
    """As many bytes as the header says, whatever becomes of the file: it is cut off, or filled up with zeros."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def read(self, count: int = -1, /) -> bytes:
        data = b""
        while len(data) < count and (more := os.read(self._fd, count - len(data))):
            data += more
        return data.ljust(count, b"\0")


def _info(stored: str, found: os.stat_result, kind: bytes) -> tarfile.TarInfo:
    """Whole seconds, as Docker writes them: a fraction would cost another header for each file."""
    info = tarfile.TarInfo(stored)
    info.type = kind
    info.mode = stat.S_IMODE(found.st_mode)
    info.uid, info.gid = found.st_uid, found.st_gid
    info.mtime = found.st_mtime_ns // 10**9
    info.size = found.st_size if kind == tarfile.REGTYPE else 0
    return info
