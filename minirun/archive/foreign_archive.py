"""Archives that somebody else wrote: compressed or not, cut off or not. They are written anew: what unpacks them in a
jail reads only what we wrote."""

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


def pass_on(source: BinaryIO, packer: Packer, what: str) -> None:
    """Every entry of an archive. MinirunError when it cannot be read to its end mark; `what` is its name in that."""
    try:
        stream = _decompressed(source, what)
        with tarfile.open(fileobj=stream, mode="r|", bufsize=CHUNK, tarinfo=_Entry) as tar:
            for member in members(tar):
                packer.pass_on(tar, member)
        while stream.read(CHUNK):  # what is behind it: who writes it shall not find the pipe closed
            pass
    except (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile) as error:
        raise MinirunError(f"{what} cannot be read: {error}") from error


class _Entry(tarfile.TarInfo):
    """tarfile takes an unreadable header in the middle, and the lack of an end mark, for the end."""

    @classmethod
    def fromtarfile(cls, tarfile_: tarfile.TarFile) -> "_Entry":
        try:
            return super().fromtarfile(tarfile_)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(f"{error}: it is no tar archive, or it was cut off") from None


class _Again(io.RawIOBase):
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


def _decompressed(source: BinaryIO, what: str) -> IO[bytes]:
    head = source.read(_LONGEST_MAGIC)
    if head.startswith(_ZSTD):
        raise MinirunError(f"{what} is compressed with zstd, which minirun cannot read", "pipe it through `zstd -d`")
    whole = io.BufferedReader(_Again(head, source), CHUNK)
    if head.startswith(b"\x1f\x8b"):
        return cast(IO[bytes], gzip.GzipFile(fileobj=whole))
    if head.startswith(b"BZh"):
        return bz2.BZ2File(whole)
    return lzma.LZMAFile(whole) if head.startswith(b"\xfd7zXZ") else whole
