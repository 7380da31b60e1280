"""Filling a layer of an image: the archive that fills it is written by us, unpacked in a jail, and gives its digest."""

import os

from minirun.inside.archive import pass_on
from minirun.inside.changes import OURS
from minirun.inside.digest import Digest
from minirun.inside.jail import filling
from minirun.inside.pack import Packer
from minirun.inside.unpack import Manner, Unpacker
from minirun.inside.walk import DIRECTORY
from minirun.light.pathlib import Path
from minirun.light.typing import BinaryIO

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
