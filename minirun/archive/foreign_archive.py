"""Repack archives from elsewhere, compressed or truncated ones too: a chroot child reads only what minirun wrote."""

import tarfile
from typing import BinaryIO

from minirun.archive.compression import decompressed
from minirun.archive.pack import CHUNK, Packer
from minirun.archive.unpack import StrictInfo, members
from minirun.errors import MinirunError


def repack(source: BinaryIO, packer: Packer, name: str) -> None:
    """Write every entry of the archive `source` to `packer`.

    `name` is what error messages call the archive. MinirunError when it cannot be read to its end mark.
    """
    try:
        stream = decompressed(source, name)
        with tarfile.open(fileobj=stream, mode="r|", bufsize=CHUNK, tarinfo=StrictInfo) as tar:
            for member in members(tar):
                packer.copy_member(tar, member)
        while stream.read(CHUNK):  # read past the end mark, so that the writer does not get SIGPIPE
            pass
    except tarfile.TarError as error:
        raise MinirunError(f"{name} cannot be read: {error}") from error
