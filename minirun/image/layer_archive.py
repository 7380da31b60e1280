"""Layers as tar archives: read from a blob, or packed from the directory."""

import io
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from typing import IO, BinaryIO

from minirun.archive.compression import decompressed
from minirun.archive.layer_content import directory_digest, pack_layer
from minirun.errors import MinirunError
from minirun.image import records
from minirun.image.layers import BLOBS, LAYERS
from minirun.image.records import Layer
from minirun.instance import Instance


class DigestReader(io.RawIOBase):
    """Compute the SHA-256 of what is read from `source`."""

    def __init__(self, source: IO[bytes]) -> None:
        self._source = source
        self._sha256 = sha256()

    def readable(self) -> bool:
        """True."""
        return True

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]
        """Read into `buffer`. Return the number of bytes, 0 at the end."""
        data = self._source.read(len(buffer))
        self._sha256.update(data)
        buffer[: len(data)] = data
        return len(data)

    def hexdigest(self) -> str:
        """Return the SHA-256 of everything read so far: 64 hexadecimal digits."""
        return self._sha256.hexdigest()


@contextmanager
def open_layer(instance: Instance, layer: Layer) -> Iterator[BinaryIO]:
    """Yield a stream of the layer's uncompressed tar archive, to be read to its end.

    MinirunError, after the block, when it was not what its digest says: somebody has changed the files of the layer.
    """
    with _open(instance, layer) as stream:
        reader = DigestReader(stream)
        yield io.BufferedReader(reader)
    if reader.hexdigest() != layer.diff_id:
        raise MinirunError(
            f"the files of layer sha256:{layer.diff_id} were changed, or minirun 0.2 made it",
            "run a container of the image, then export and import its files",
        )


def tar_size(instance: Instance, layer: Layer) -> int:
    """Return the size in bytes of the layer's uncompressed tar archive."""
    return layer.tar_size or directory_digest(instance.root / LAYERS / layer.directory).tar_size


@contextmanager
def _open(instance: Instance, layer: Layer) -> Iterator[IO[bytes]]:
    blob = records.blob_of(instance.store, layer.diff_id)
    if blob:
        path = instance.root / BLOBS / blob.file
        with path.open("rb") as file:
            yield decompressed(file, str(path))
        return
    with tempfile.TemporaryFile(dir=instance.root) as packed:
        pack_layer(instance.root / LAYERS / layer.directory, packed)
        packed.seek(0)
        yield packed
