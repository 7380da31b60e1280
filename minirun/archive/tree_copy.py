"""Copy a directory with everything below it, from within a chroot to a directory that was opened before.

Owners, modes, times, extended attributes, symlinks, hard links among the files, holes and device nodes are kept. No
symlink is followed.
"""

import errno
import os
import stat

from minirun.archive.tree_walk import DIRECTORY, TreeCursor, identity, lstat_at, names_in
from minirun.kernel.own_ids import OVERLAY_MARKS, OWN_IDS

_CHUNK = 1 << 20
_SOURCE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class TreeCopier:
    """Copy a directory into `top`; both arguments are descriptors of empty directories on one file system.

    In `links` the first of several hard links gets a second name, by which the others find it however deep it is.
    """

    def __init__(self, top: int, links: int) -> None:
        self._top = top
        self._links = links
        self._linked: dict[tuple[int, int], str] = {}

    def copy(self, path: str) -> bool:
        """Copy the directory `path`, following symlinks in it within the chroot. Return False if it does not exist."""
        try:
            source = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                raise
            return False
        self._walk(TreeCursor(source), TreeCursor(os.dup(self._top)))
        return True

    def _walk(self, source: TreeCursor, target: TreeCursor) -> None:
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
        """Copy one entry. Return descriptors of source and target if it is a directory to enter."""
        status = lstat_at(source, name)
        if status is None:
            return None
        if stat.S_ISDIR(status.st_mode):
            child = os.open(name, DIRECTORY, dir_fd=source)
            os.mkdir(name, 0o700, dir_fd=target)
            return child, os.open(name, DIRECTORY, dir_fd=target)
        if self._is_linked(status, target, name):
            return None
        if stat.S_ISREG(status.st_mode):
            self._put_file(source, target, name)
        else:
            self._put_special(status, source, target, name)
        if status.st_nlink > 1:
            known = self._linked[identity(status)] = str(len(self._linked))
            os.link(name, known, src_dir_fd=target, dst_dir_fd=self._links, follow_symlinks=False)
        return None

    def _is_linked(self, status: os.stat_result, target: int, name: str) -> bool:
        known = self._linked.get(identity(status)) if status.st_nlink > 1 else None
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

    def _put_special(self, status: os.stat_result, source: int, target: int, name: str) -> None:
        if stat.S_ISLNK(status.st_mode):
            os.symlink(os.readlink(name, dir_fd=source), name, dir_fd=target)
        else:
            os.mknod(name, status.st_mode, status.st_rdev, dir_fd=target)
        os.chown(name, *OWN_IDS.owner(status.st_uid, status.st_gid), dir_fd=target, follow_symlinks=False)
        if not stat.S_ISLNK(status.st_mode):
            os.chmod(name, stat.S_IMODE(status.st_mode), dir_fd=target)
        os.utime(name, ns=(status.st_atime_ns, status.st_mtime_ns), dir_fd=target, follow_symlinks=False)


def copy_attributes(source: int, target: int) -> None:
    """Copy owner, mode, extended attributes and times from one open file or directory to another.

    A change of owner clears the set-id bits and security.capability, so the owner comes first (chown(2)).
    """
    status = os.fstat(source)
    os.fchown(target, *OWN_IDS.owner(status.st_uid, status.st_gid))
    os.fchmod(target, stat.S_IMODE(status.st_mode))
    for name in os.listxattr(source):
        if not name.startswith(("trusted.", OVERLAY_MARKS)):
            try:
                os.setxattr(target, name, os.getxattr(source, name))
            except OSError as error:
                if error.errno != errno.ENOTSUP:  # the target's file system has no such attributes
                    raise
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))


def _copy_data(source: int, target: int, size: int) -> None:
    """Copy what holds data. A hole stays a hole: a sparse file in an image could otherwise fill the disk."""
    offset = 0
    while True:
        try:
            offset = os.lseek(source, offset, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            break
        end = os.lseek(source, offset, os.SEEK_HOLE)
        os.lseek(target, offset, os.SEEK_SET)
        while offset < end and (sent := os.sendfile(target, source, offset, min(end - offset, _CHUNK))):
            offset += sent
        if offset < end:
            break  # the file was truncated
    os.ftruncate(target, size)
