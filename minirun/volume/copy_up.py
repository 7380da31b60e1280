"""Copy-up: an empty volume gets the content that the image has at its mount point, as in Docker.

The image is untrusted: a child process chrooted into the container's tree reads it, and writes into a directory that it
was given, which nothing else uses. A copy is whole or not there at all, whichever process is killed:

    .minirun-filling/   the copy in progress; a left-over one is removed
    .minirun-filled     the complete copy: from here on its entries are moved into the volume, by whoever comes next

The volume's directory itself is never replaced, so a running container keeps its volume meanwhile.
"""

import fcntl
import os
from dataclasses import dataclass
from pathlib import Path

from minirun.archive.chroot import Tree, chroot_reader
from minirun.archive.tree_copy import TreeCopier, copy_attributes
from minirun.archive.tree_walk import DIRECTORY, lstat_at
from minirun.kernel.files import remove_tree

_FILLING, _FILLED = ".minirun-filling", ".minirun-filled"
_COPIED = b"1"  # what the child writes when the image has the directory


@dataclass(frozen=True)
class CopyUp:
    """Fill the directory `data` of a volume.

    The copy is made in `workspace`: the directory above `data`, or `data` itself if that is a directory of the host's.
    """

    workspace: Path
    data: Path

    def may_be_needed(self) -> bool:
        """Return whether the volume is empty, or an earlier copy may have been interrupted."""
        if any(os.path.lexists(self.workspace / name) for name in (_FILLED, _FILLING)):
            return True
        return _is_empty(self.data)

    def fill(self, tree: Tree, target: str) -> None:
        """Copy the directory `target` of the tree if the volume is empty. Waits for another copy into the volume."""
        workspace = os.open(self.workspace, DIRECTORY)
        try:
            fcntl.flock(workspace, fcntl.LOCK_EX)
            remove_tree(self.workspace / _FILLING)
            self._move_in(workspace)
            if _is_empty(self.data):
                _copy(tree, workspace, target)
                self._move_in(workspace)
        finally:
            remove_tree(self.workspace / _FILLING)
            os.close(workspace)

    def _move_in(self, workspace: int) -> None:
        """Move a complete copy into the volume. What a container has put there meanwhile stays."""
        try:
            source = os.open(_FILLED, DIRECTORY, dir_fd=workspace)
        except FileNotFoundError:
            return
        target = os.open(self.data, DIRECTORY)
        try:
            for name in os.listdir(source):
                if lstat_at(target, name) is None:
                    os.rename(name, name, src_dir_fd=source, dst_dir_fd=target)
            copy_attributes(source, target)
        finally:
            os.close(source)
            os.close(target)
        remove_tree(self.workspace / _FILLED)


def _is_empty(data: Path) -> bool:
    with os.scandir(data) as entries:
        return next(entries, None) is None


def _copy(tree: Tree, workspace: int, target: str) -> None:
    os.mkdir(_FILLING, 0o700, dir_fd=workspace)
    filling = os.open(_FILLING, DIRECTORY, dir_fd=workspace)
    for name in ("tree", "links"):
        os.mkdir(name, 0o700, dir_fd=filling)
    top, links = (os.open(name, DIRECTORY, dir_fd=filling) for name in ("tree", "links"))
    copier = TreeCopier(top, links)
    try:
        # The child inherits the lock: the next copy waits for a child that has outlived its command.
        keep = (top, links, workspace)
        with chroot_reader(tree, lambda stream: copier.copy(target) and stream.write(_COPIED), keep) as stream:
            copied = stream.read()
        if copied:
            os.rename("tree", _FILLED, src_dir_fd=filling, dst_dir_fd=workspace)
    finally:
        for fd in (top, links, filling):
            os.close(fd)
