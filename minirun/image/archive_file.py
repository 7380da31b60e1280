"""An image archive that is being read: its files by name, in any order."""

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


class ImageArchive:
    """The files of a tar archive. `name` is what error messages call it."""

    def __init__(self, tar: tarfile.TarFile, name: str) -> None:
        self._tar = tar
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
        """Open a file, following links in the archive as older versions of Docker have written them."""
        member = self._members.get(posixpath.normpath(path))
        for _ in range(len(self._members)):
            if member is None or not (member.issym() or member.islnk()):
                break
            base = posixpath.dirname(member.name) if member.issym() else ""
            member = self._members.get(posixpath.normpath(posixpath.join(base, member.linkname)))
        stream = self._tar.extractfile(member) if member is not None and member.isreg() else None
        if stream is None:
            raise self.error(f"it lacks the file {path}")
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
    with tempfile.TemporaryFile(dir=scratch) as copy:
        shutil.copyfileobj(decompressed(source, name), copy, CHUNK)
        os.lseek(copy.fileno(), 0, os.SEEK_SET)
        copy.seek(0)
        yield _index(copy, name)


def _index(file: IO[bytes], name: str) -> ImageArchive:
    try:
        tar = tarfile.open(fileobj=file, mode="r:", tarinfo=StrictInfo)  # noqa: SIM115 - its file is closed by its owner
    except tarfile.TarError as error:
        raise MinirunError(f"{name} is no image archive: it cannot be read: {error}") from None
    return ImageArchive(tar, name)
