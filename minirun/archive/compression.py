"""Compressed streams, recognised by their first bytes: gzip, zstd, bzip2 and xz are read, gzip is written."""

import bz2
import gzip
import io
import lzma
import sys
from typing import IO, Any, BinaryIO, Protocol, cast

from minirun.errors import MinirunError

CHUNK = 1 << 18
GZIP, ZSTD = "gzip", "zstd"
_MAGIC = {GZIP: b"\x1f\x8b", ZSTD: b"\x28\xb5\x2f\xfd", "bzip2": b"BZh", "xz": b"\xfd7zXZ"}
_LONGEST_MAGIC = 6
_GZIP_WRAPPER = 31  # the window's size and the format, as zlib's deflateInit2 takes them
_LEVEL = 1  # of isal's four: 3 % larger than level 2, in half the time


class DamagedError(MinirunError):
    """A compressed stream is damaged or cut off."""


class _Sink(Protocol):
    def write(self, data: bytes, /) -> Any: ...


class GzipWriter:
    """Compress what is written to it, and write it to `target`. The same content gives the same bytes."""

    def __init__(self, target: _Sink) -> None:
        from isal import isal_zlib  # 5 ms, and few commands compress

        self._target = target
        self._compressor = isal_zlib.compressobj(level=_LEVEL, wbits=_GZIP_WRAPPER)

    def write(self, data: bytes, /) -> int:
        """Compress `data`. Return its length in bytes."""
        self._target.write(self._compressor.compress(data))
        return len(data)

    def finish(self) -> None:
        """Write what is left, and the end mark."""
        self._target.write(self._compressor.flush())


def decompressed(source: BinaryIO, name: str) -> IO[bytes]:
    """Return a stream of the uncompressed content of `source`; `name` is what error messages call it.

    Reading it raises DamagedError when the compressed stream is damaged or cut off.
    """
    head = source.read(_LONGEST_MAGIC)
    whole = io.BufferedReader(PrefixedStream(head, source), CHUNK)
    stream, damage = _decompressor(head, whole)
    return io.BufferedReader(_CheckedStream(stream, damage, name), CHUNK)


def compression_of(head: bytes) -> str:
    """Return how a file that begins with these bytes is compressed: gzip, zstd, bzip2, xz, or "" for not at all."""
    return next((name for name, magic in _MAGIC.items() if head.startswith(magic)), "")


def _decompressor(head: bytes, whole: IO[bytes]) -> tuple[IO[bytes], tuple[type[Exception], ...]]:
    """Return the stream, and the exceptions that mean that it is damaged; all may be cut off, too (EOFError)."""
    compression = compression_of(head)
    if compression == GZIP:
        from isal import igzip, isal_zlib  # as above

        damage = cast(type[Exception], isal_zlib.error)  # its type stub takes it for an instance
        return cast(IO[bytes], igzip.IGzipFile(fileobj=whole)), (damage, gzip.BadGzipFile)  # type: ignore[no-untyped-call]
    if compression == ZSTD:
        if sys.version_info >= (3, 14):
            from compression import zstd  # as above
        else:
            from backports import zstd
        return cast(IO[bytes], zstd.ZstdFile(whole)), (zstd.ZstdError,)
    if compression == "bzip2":
        return bz2.BZ2File(whole), (OSError, ValueError)
    return (lzma.LZMAFile(whole), (lzma.LZMAError,)) if compression == "xz" else (whole, ())


class PrefixedStream(io.RawIOBase):
    """A stream whose first bytes have been read already."""

    def __init__(self, head: bytes, rest: BinaryIO) -> None:
        self._head = head
        self._rest = rest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]
        data = self._head[: len(buffer)] or self._rest.read(len(buffer))
        self._head = self._head[len(buffer) :]
        buffer[: len(data)] = data
        return len(data)


class _CheckedStream(io.RawIOBase):
    def __init__(self, stream: IO[bytes], damage: tuple[type[Exception], ...], name: str) -> None:
        self._stream = stream
        self._damage: tuple[type[Exception], ...] = (EOFError, *damage)
        self._name = name

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]
        try:
            data = self._stream.read(len(buffer))
        except self._damage as error:
            raise DamagedError(f"{self._name} cannot be read: {error}") from None
        buffer[: len(data)] = data
        return len(data)
