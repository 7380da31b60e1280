"""Repack archives from elsewhere, compressed or truncated ones too: a chroot child reads only what minirun wrote."""

import bz2
import gzip
import io
import lzma
import tarfile
import zlib
from typing import IO, BinaryIO, cast

from minirun.archive.pack import CHUNK, Packer
from minirun.archive.unpack import members
from minirun.errors import MinirunError

_ZSTD = b"\x28\xb5\x2f\xfd"
_LONGEST_MAGIC = 6


def repack(source: BinaryIO, packer: Packer, name: str) -> None:
    """Write every entry of the archive `source` to `packer`.

    `name` is what error messages call the archive. MinirunError when it cannot be read to its end mark.
    """
    try:
        stream = _decompressed(source, name)
        with tarfile.open(fileobj=stream, mode="r|", bufsize=CHUNK, tarinfo=_StrictInfo) as tar:
            for member in members(tar):
                packer.copy_member(tar, member)
        while stream.read(CHUNK):  # read past the end mark, so that the writer does not get SIGPIPE
            pass
    except (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile) as error:
        raise MinirunError(f"{name} cannot be read: {error}") from error


class _StrictInfo(tarfile.TarInfo):
    """Refuse what tarfile takes for the end: an unreadable header in the middle, and a missing end mark."""

    @classmethod
    def fromtarfile(cls, tarfile_: tarfile.TarFile) -> "_StrictInfo":
        try:
            return super().fromtarfile(tarfile_)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(f"{error}: it is no tar archive, or it was cut off") from None


class PrefixedStream(io.RawIOBase):
    """A stream whose first bytes have been read already."""

    def __init__(self, head: bytes, rest: BinaryIO) -> None:
        self._head = head
        self._rest = rest

    def readable(self) -> bool:
        return True

    def read(self, count: int = -1, /) -> bytes:
        if not self._head:
            return self._rest.read(count)
        data, self._head = (self._head, b"") if count < 0 else (self._head[:count], self._head[count:])
        return data

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def _decompressed(source: BinaryIO, name: str) -> IO[bytes]:
    head = source.read(_LONGEST_MAGIC)
    if head.startswith(_ZSTD):
        raise MinirunError(f"{name} is compressed with zstd, which minirun cannot read", "pipe it through `zstd -d`")
    whole = io.BufferedReader(PrefixedStream(head, source), CHUNK)
    if head.startswith(b"\x1f\x8b"):
        return cast(IO[bytes], gzip.GzipFile(fileobj=whole))
    if head.startswith(b"BZh"):
        return bz2.BZ2File(whole)
    return lzma.LZMAFile(whole) if head.startswith(b"\xfd7zXZ") else whole
