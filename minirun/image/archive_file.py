"""An image archive that is being read: its files by name, in any order, several at once."""

import copy
import io
import json
import os
import posixpath
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, BinaryIO

from minirun.archive.compression import CHUNK, compression_of, decompressed
from minirun.archive.unpack import StrictInfo
from minirun.errors import MinirunError

_MOST_FILES = 100_000  # tarfile keeps a kilobyte of each in memory
_LARGEST_DOCUMENT = 4 << 20  # bytes, as registries bound a manifest
_LONGEST_MAGIC = 6


class _SharedFile(io.RawIOBase):
    """A file with a position of its own: threads that read the descriptor `fd` do not move one another's."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        if whence != os.SEEK_SET:
            raise io.UnsupportedOperation("seek from elsewhere than the start")
        self._position = offset
        return offset

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]
        count = os.preadv(self._fd, [buffer], self._position)
        self._position += count
        return count


class ImageArchive:
    """The files of a tar archive. `name` is what error messages call it."""

    def __init__(self, tar: tarfile.TarFile, fd: int, name: str) -> None:
        self._tar = tar
        self._fd = fd
        self._name = name
        self._members: dict[str, tarfile.TarInfo] = {}
        try:
            while (member := tar.next()) is not None:
                self._members[posixpath.normpath(member.name)] = member
                if len(self._members) > _MOST_FILES:
                    raise self.error(f"it has more than {_MOST_FILES} files")
        except tarfile.TarError as error:
            raise self.error(f"cannot be read: {error}") from None

    def __contains__(self, path: str) -> bool:
        return posixpath.normpath(path) in self._members

    def open(self, path: str) -> IO[bytes]:
        """Open a file, following links in the archive as older versions of Docker have written them.

        Several files may be read at once, each in a thread of its own.
        """
        member = self._members.get(posixpath.normpath(path))
        for _ in range(len(self._members)):
            if member is None or not (member.issym() or member.islnk()):
                break
            base = posixpath.dirname(member.name) if member.issym() else ""
            member = self._members.get(posixpath.normpath(posixpath.join(base, member.linkname)))
        if member is None or not member.isreg():
            raise self.error(f"it lacks the file {path}")
        view = copy.copy(self._tar)
        view.fileobj = _SharedFile(self._fd)
        stream = view.extractfile(member)
        assert stream is not None
        return stream

    def read(self, path: str) -> bytes:
        """Return the content of a small file."""
        with self.open(path) as stream:
            content = stream.read(_LARGEST_DOCUMENT + 1)
        if len(content) > _LARGEST_DOCUMENT:
            raise self.error(f"its {path} is longer than {_LARGEST_DOCUMENT >> 20} MiB")
        return content

    def read_json(self, path: str) -> Any:
        """Return the parsed content of a JSON file."""
        try:
            return json.loads(self.read(path))
        except (ValueError, RecursionError) as error:
            raise self.error(f"its {path} is not JSON: {error}") from None

    def error(self, reason: str) -> MinirunError:
        """Return an error about the archive."""
        return MinirunError(f"{self._name} is no image archive: {reason}")


@contextmanager
def open_archive(source: BinaryIO, scratch: Path, name: str) -> Iterator[ImageArchive]:
    """Yield the image archive `source`. A pipe, and a compressed archive, are copied to a file in `scratch` first."""
    head = source.peek(_LONGEST_MAGIC) if hasattr(source, "peek") else b""
    if source.seekable() and not compression_of(head):
        yield _index(source, name)
        return
    with tempfile.TemporaryFile(dir=scratch) as whole:
        shutil.copyfileobj(decompressed(source, name), whole, CHUNK)
        whole.seek(0)
        yield _index(whole, name)


def _index(file: BinaryIO | IO[bytes], name: str) -> ImageArchive:
    try:
        tar = tarfile.open(fileobj=file, mode="r:", tarinfo=StrictInfo)  # noqa: SIM115 - its file is closed by its owner
    except tarfile.TarError as error:
        raise MinirunError(f"{name} is no image archive: it cannot be read: {error}") from None
    return ImageArchive(tar, file.fileno(), name)
