"""A directory copied whole, from a tree that one is in to a directory that was opened before: owners, modes, times,
extended attributes, symlinks as they are, hard links among themselves, holes, nodes. Nothing is followed."""

import errno
import os
import stat

from minirun.archive.tree_walk import DIRECTORY, Place, identity, look, names_in

_CHUNK = 1 << 20
_SOURCE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Duplicator:
    """`links` is an empty directory beside `top`: the first of several hard links gets a name there too, by which the
    others find it however deep it is."""

    def __init__(self, top: int, links: int) -> None:
        self._top = top
        self._links = links
        self._linked: dict[tuple[int, int], str] = {}

    def run(self, path: str) -> bytes:
        """b"" when there is no such directory. A symlink on the way leads where the container would see it lead."""
        try:
            source = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                raise
            return b""
        self._walk(Place(source), Place(os.dup(self._top)))
        return b"1"

    def _walk(self, source: Place, target: Place) -> None:
        levels = [names_in(source.fd)]
        while levels:
            if levels[-1]:
                child = self._put(source.fd, target.fd, levels[-1].pop())
                if child is not None:
                    source.down(child[0])
                    target.down(child[1])
                    levels.append(names_in(source.fd))
                continue
            copy_attributes(source.fd, target.fd)  # last: each entry made in a directory changes its time
            levels.pop()
            if levels:
                source.up()
                target.up()
        source.close()
        target.close()

    def _put(self, source: int, target: int, name: str) -> tuple[int, int] | None:
        """One entry; the two descriptors of a directory to go into."""
        found = look(source, name)
        if found is None:
            return None
        if stat.S_ISDIR(found.st_mode):
            child = os.open(name, DIRECTORY, dir_fd=source)
            os.mkdir(name, 0o700, dir_fd=target)
            return child, os.open(name, DIRECTORY, dir_fd=target)
        if self._is_linked(found, target, name):
            return None
        if stat.S_ISREG(found.st_mode):
            self._put_file(source, target, name)
        else:
            self._put_special(found, source, target, name)
        if found.st_nlink > 1:
            known = self._linked[identity(found)] = str(len(self._linked))
            os.link(name, known, src_dir_fd=target, dst_dir_fd=self._links, follow_symlinks=False)
        return None

    def _is_linked(self, found: os.stat_result, target: int, name: str) -> bool:
        known = self._linked.get(identity(found)) if found.st_nlink > 1 else None
        if known is not None:
            os.link(known, name, src_dir_fd=self._links, dst_dir_fd=target, follow_symlinks=False)
        return known is not None

    def _put_file(self, source: int, target: int, name: str) -> None:
        old = os.open(name, _SOURCE, dir_fd=source)
        new = os.open(name, _NEW, 0o600, dir_fd=target)
        try:
            _copy_data(old, new, os.fstat(old).st_size)
            copy_attributes(old, new)
        finally:
            os.close(old)
            os.close(new)

    def _put_special(self, found: os.stat_result, source: int, target: int, name: str) -> None:
        if stat.S_ISLNK(found.st_mode):
            os.symlink(os.readlink(name, dir_fd=source), name, dir_fd=target)
        else:
            os.mknod(name, found.st_mode, found.st_rdev, dir_fd=target)
        os.chown(name, found.st_uid, found.st_gid, dir_fd=target, follow_symlinks=False)
        if not stat.S_ISLNK(found.st_mode):
            os.chmod(name, stat.S_IMODE(found.st_mode), dir_fd=target)
        os.utime(name, ns=(found.st_atime_ns, found.st_mtime_ns), dir_fd=target, follow_symlinks=False)


def copy_attributes(source: int, target: int) -> None:
    """From one open file or directory to another. The mode after the owner, whose change takes the set-id bits away,
    and the extended attributes after both: a capability, too, is lost with a change of owner."""
    found = os.fstat(source)
    os.fchown(target, found.st_uid, found.st_gid)
    os.fchmod(target, stat.S_IMODE(found.st_mode))
    for name in os.listxattr(source):
        if not name.startswith("trusted."):  # an overlay's own notes
            try:
                os.setxattr(target, name, os.getxattr(source, name))
            except OSError as error:
                if error.errno != errno.ENOTSUP:  # the file system of the volume knows no such thing
                    raise
    os.utime(target, ns=(found.st_atime_ns, found.st_mtime_ns))


def _copy_data(source: int, target: int, size: int) -> None:
    """What holds data; a hole stays one, or a sparse file of an image would fill the disk."""
    at = 0
    while True:
        try:
            at = os.lseek(source, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            break
        end = os.lseek(source, at, os.SEEK_HOLE)
        os.lseek(target, at, os.SEEK_SET)
        while at < end and (sent := os.sendfile(target, source, at, min(end - at, _CHUNK))):
            at += sent
        if at < end:
            break  # it has become shorter
    os.ftruncate(target, size)
