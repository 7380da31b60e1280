"""An empty volume takes over what the image has at its place, as Docker does at a container's creation.

The image is hostile: a process in the container's tree (inside/jail.py) reads it by descriptors, and writes into a
directory that it was given, which is nobody else's. Whole or not at all, whoever is killed:

    .minirun-filling/   what is being copied; found later, it is removed
    .minirun-filled     the whole copy: from here on its entries are moved into the volume, by whoever comes next

A container that runs keeps its volume meanwhile: the directory itself is never replaced.
"""

import fcntl
import os
from dataclasses import dataclass
from pathlib import Path

from minirun.archive.chroot import Tree, reading
from minirun.archive.tree_copy import Duplicator, copy_attributes
from minirun.archive.tree_walk import DIRECTORY, look
from minirun.instance import Instance
from minirun.kernel.files import remove_tree
from minirun.model import Container

_FILLING, _FILLED = ".minirun-filling", ".minirun-filled"


@dataclass(frozen=True)
class Filling:
    """`place` is where the copy is made: beside the data, or within it where the data is a directory of the host's."""

    place: Path
    data: Path

    def may_be_needed(self) -> bool:
        """Nothing is in it, or somebody was filling it and may have been killed."""
        if any(os.path.lexists(self.place / name) for name in (_FILLED, _FILLING)):
            return True
        return _is_empty(self.data)

    def fill(self, instance: Instance, container: Container, lower: str, target: str) -> None:
        place = os.open(self.place, DIRECTORY)
        try:
            fcntl.flock(place, fcntl.LOCK_EX)
            remove_tree(self.place / _FILLING)
            self._move_in(place)
            if _is_empty(self.data):
                _copy(Tree(instance.root, container.id, lower, None, lambda: True), place, target)
                self._move_in(place)
        finally:
            remove_tree(self.place / _FILLING)
            os.close(place)

    def _move_in(self, place: int) -> None:
        """What is in the volume already, because a container put it there meanwhile, stays."""
        try:
            source = os.open(_FILLED, DIRECTORY, dir_fd=place)
        except FileNotFoundError:
            return
        target = os.open(self.data, DIRECTORY)
        try:
            for name in os.listdir(source):
                if look(target, name) is None:
                    os.rename(name, name, src_dir_fd=source, dst_dir_fd=target)
            copy_attributes(source, target)
        finally:
            os.close(source)
            os.close(target)
        remove_tree(self.place / _FILLED)


def _is_empty(data: Path) -> bool:
    with os.scandir(data) as entries:
        return next(entries, None) is None


def _copy(tree: Tree, place: int, target: str) -> None:
    os.mkdir(_FILLING, 0o700, dir_fd=place)
    filling = os.open(_FILLING, DIRECTORY, dir_fd=place)
    for name in ("tree", "links"):
        os.mkdir(name, 0o700, dir_fd=filling)
    top, links = (os.open(name, DIRECTORY, dir_fd=filling) for name in ("tree", "links"))
    duplicator = Duplicator(top, links)
    try:
        # The lock goes along: who comes after waits until a copier without its command has ended.
        with reading(tree, lambda stream: stream.write(duplicator.run(target)), keep=(top, links, place)) as stream:
            found = stream.read()
        if found:
            os.rename("tree", _FILLED, src_dir_fd=filling, dst_dir_fd=place)
    finally:
        for fd in (top, links, filling):
            os.close(fd)
