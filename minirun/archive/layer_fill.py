"""Filling a layer of an image: the archive that fills it is written by us, unpacked in a jail, and gives its digest."""

import os
from pathlib import Path
from typing import BinaryIO

from minirun.archive.chroot import filling
from minirun.archive.digest import Digest
from minirun.archive.foreign_archive import pass_on
from minirun.archive.pack import Packer
from minirun.archive.tree_walk import DIRECTORY
from minirun.archive.unpack import Manner, Unpacker
from minirun.engine.diff import OURS

_RUNTIME = frozenset(path.lstrip("/") for path in OURS)


def unpack_archive(source: BinaryIO, layer: Path) -> str:
    """Links of the archive's lead nowhere but into the layer."""
    with filling(layer, lambda stream: _unpack(stream, Manner(inside=True, archive=True))) as stream:
        digest = Digest(stream)
        with Packer(digest) as packer:
            pass_on(source, packer, "the archive")
    return digest.hexadecimal()


def copy_layer(upper: Path, layer: Path) -> str:
    """A container's own layer, without what the runtime put there. For the marks of the overlay it takes the right
    to write them, which a container does not have."""
    manner = Manner(inside=True, archive=True, layer=True)
    with filling(layer, lambda stream: _unpack(stream, manner), ("sys_admin",)) as stream:
        digest = Digest(stream)
        with Packer(digest, layer=True, skip=_RUNTIME) as packer:
            packer.add_below(os.open(upper, DIRECTORY), "")
    return digest.hexadecimal()


def digest_of(directory: Path) -> str:
    digest = Digest()
    with Packer(digest, layer=True) as packer:
        packer.add_below(os.open(directory, DIRECTORY), "")
    return digest.hexadecimal()


def _unpack(stream: BinaryIO, manner: Manner) -> None:
    top = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    Unpacker(top, "/", manner).run_all(stream)
