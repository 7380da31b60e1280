"""Fill an image layer from an archive or from a container's layer, and compute the digest of its content.

A child whose root is the layer's directory unpacks.
"""

import hashlib
import io
import os
import shutil
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO

from minirun.archive.chroot import layer_writer
from minirun.archive.compression import PrefixedStream
from minirun.archive.foreign_archive import repack
from minirun.archive.pack import CHUNK, Packer, Writable
from minirun.archive.tree_walk import DIRECTORY
from minirun.archive.unpack import Unpacker, UnpackOptions
from minirun.errors import MinirunError


@dataclass(frozen=True)
class LayerDigest:
    """What tells a layer from all others: the SHA-256 of its tar archive, and the archive's size in bytes."""

    diff_id: str
    tar_size: int


class DigestWriter:
    """Compute the SHA-256 of what is written, and pass it on to `target` if there is one.

    `size` is the number of bytes so far.
    """

    def __init__(self, target: Writable | None = None) -> None:
        self._target = target
        self._sha256 = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes, /) -> int:
        """Hash `data` and pass it on. Return its length in bytes."""
        self._sha256.update(data)
        self.size += len(data)
        if self._target is not None:
            self._target.write(data)
        return len(data)

    def hexdigest(self) -> str:
        """Return the SHA-256 of everything written so far: 64 hexadecimal digits."""
        return self._sha256.hexdigest()


def unpack_archive(source: BinaryIO, layer: Path) -> LayerDigest:
    """Unpack a tar archive, compressed or not, into the empty directory `layer`. Return the layer's digest.

    Links in the archive cannot lead out of the layer. An empty file is an empty archive, as for tar(1) and Docker.
    MinirunError when the archive cannot be read to its end.
    """
    head = source.read(1)
    if not head:
        return directory_digest(layer)
    source = io.BufferedReader(PrefixedStream(head, source), CHUNK)  # its reads are whole
    options = UnpackOptions(chrooted=True, keep_owner=True)
    with layer_writer(layer, lambda stream: _unpack(stream, options)) as stream, Packer(stream) as packer:
        repack(source, packer, "the archive")
    return directory_digest(layer)


def copy_layer(upper: Path, layer: Path, skip: frozenset[str]) -> LayerDigest:
    """Copy a container's writable layer into the empty directory `layer`. Return the digest of its content.

    `skip` are paths to leave out, relative to the layer. Writing overlayfs whiteouts and opaque marks takes
    CAP_SYS_ADMIN, which a container does not have.
    """
    options = UnpackOptions(chrooted=True, keep_owner=True, layer=True)
    with layer_writer(layer, lambda stream: _unpack(stream, options), ("sys_admin",)) as stream:
        digest = DigestWriter(stream)
        with Packer(digest, layer=True, skip=skip) as packer:
            packer.add_below(os.open(upper, DIRECTORY), "")
    return LayerDigest(digest.hexdigest(), digest.size)


def unpack_layer(source: IO[bytes], layer: Path) -> LayerDigest:
    """Unpack a layer of an image into the empty directory `layer`. Return its digest.

    source: an uncompressed tar archive from anywhere, with the whiteouts of the OCI image specification
    The child in the layer parses it, with the rights of a container and CAP_SYS_ADMIN for overlayfs's opaque marks.
    MinirunError when the archive cannot be read to its end.
    """
    options = UnpackOptions(chrooted=True, keep_owner=True, layer=True)
    failure: BaseException | None = None
    try:
        with layer_writer(layer, lambda stream: _unpack_foreign(stream, options), ("sys_admin",)) as stream:
            digest = DigestWriter(stream)
            try:
                shutil.copyfileobj(source, digest, CHUNK)
            except BrokenPipeError:
                raise  # the child ended, and says why
            except BaseException as error:
                failure = error
                raise
    except MinirunError:
        if failure is not None:  # to the child it looks like an archive that was cut off
            raise failure from None
        raise
    return LayerDigest(digest.hexdigest(), digest.size)


def directory_digest(directory: Path) -> LayerDigest:
    """Return the digest of the layer that a directory is packed to."""
    digest = DigestWriter()
    pack_layer(directory, digest)
    return LayerDigest(digest.hexdigest(), digest.size)


def pack_layer(directory: Path, target: Writable) -> None:
    """Write the tar archive of a layer's directory to `target`: the same content gives the same bytes."""
    with Packer(target, layer=True) as packer:
        packer.add_below(os.open(directory, DIRECTORY), "")


def _unpack_foreign(stream: BinaryIO, options: UnpackOptions) -> None:
    try:
        _unpack(stream, options)
    except tarfile.TarError as error:
        raise MinirunError(f"it cannot be read: {error}") from None


def _unpack(stream: BinaryIO, options: UnpackOptions) -> None:
    root = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    Unpacker(root, "/", options).unpack_stream(stream)
