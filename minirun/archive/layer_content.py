"""Fill an image layer from an archive or from a container's layer, and compute the digest of its content.

The tar stream that reaches the unpacking child is always written by minirun itself, whatever the source was.
"""

import hashlib
import os
from pathlib import Path
from typing import BinaryIO

from minirun.archive.chroot import layer_writer
from minirun.archive.foreign_archive import repack
from minirun.archive.pack import Packer
from minirun.archive.tree_walk import DIRECTORY
from minirun.archive.unpack import Unpacker, UnpackOptions


class DigestWriter:
    """Compute the SHA-256 of what is written, and pass it on to `target` if there is one."""

    def __init__(self, target: BinaryIO | None = None) -> None:
        self._target = target
        self._sha256 = hashlib.sha256()

    def write(self, data: bytes, /) -> int:
        """Hash `data` and pass it on. Return its length in bytes."""
        self._sha256.update(data)
        if self._target is not None:
            self._target.write(data)
        return len(data)

    def hexdigest(self) -> str:
        """Return the SHA-256 of everything written so far: 64 hexadecimal digits."""
        return self._sha256.hexdigest()


def unpack_archive(source: BinaryIO, layer: Path) -> str:
    """Unpack a tar archive, compressed or not, into the empty directory `layer`. Return the layer's digest.

    Links in the archive cannot lead out of the layer. MinirunError when the archive cannot be read to its end.
    """
    options = UnpackOptions(chrooted=True, keep_owner=True)
    with layer_writer(layer, lambda stream: _unpack(stream, options)) as stream, Packer(stream) as packer:
        repack(source, packer, "the archive")
    return directory_digest(layer)


def copy_layer(upper: Path, layer: Path, skip: frozenset[str]) -> str:
    """Copy a container's writable layer into the empty directory `layer`. Return the digest of its content.

    `skip` are paths to leave out, relative to the layer. Writing overlayfs whiteouts and opaque marks takes
    CAP_SYS_ADMIN, which a container does not have.
    """
    options = UnpackOptions(chrooted=True, keep_owner=True, layer=True)
    with layer_writer(layer, lambda stream: _unpack(stream, options), ("sys_admin",)) as stream:
        digest = DigestWriter(stream)
        with Packer(digest, layer=True, skip=skip) as packer:
            packer.add_below(os.open(upper, DIRECTORY), "")
    return digest.hexdigest()


def directory_digest(directory: Path) -> str:
    """Return the digest of the tar archive that a layer's directory is packed to."""
    digest = DigestWriter()
    with Packer(digest, layer=True) as packer:
        packer.add_below(os.open(directory, DIRECTORY), "")
    return digest.hexdigest()


def _unpack(stream: BinaryIO, options: UnpackOptions) -> None:
    root = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    Unpacker(root, "/", options).unpack_stream(stream)
