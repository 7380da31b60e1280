"""Archives from elsewhere: recognise one, and repack it, so that a chroot child reads only what minirun wrote."""

import tarfile
from typing import BinaryIO

from minirun.archive.compression import compression_of, decompressed
from minirun.archive.pack import CHUNK, Packer
from minirun.archive.unpack import StrictInfo, members
from minirun.errors import MinirunError

HEAD = 512  # bytes that tell an archive
_MAGIC = slice(257, 262)  # of a tar header (POSIX.1-1988)


def may_be_archive(head: bytes) -> bool:
    """Return whether a file that begins with these bytes may be a tar archive, compressed or not."""
    return bool(compression_of(head)) or head[_MAGIC] == b"ustar"


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
