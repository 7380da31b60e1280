"""load: images from archives (archive_layout.py).

Each layer that does not exist yet is unpacked, and its archive is kept as it came: pushing compresses it when it must.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, BinaryIO, cast

from minirun.archive.compression import CHUNK, GZIP, ZSTD, compression_of, decompressed
from minirun.archive.layer_content import DigestWriter, LayerDigest, unpack_layer
from minirun.archive.pack import Writable
from minirun.archive.tree_walk import tree_size
from minirun.errors import MinirunError
from minirun.image import records
from minirun.image.archive_file import ImageArchive, open_archive
from minirun.image.archive_layout import ArchivedImage, images_in
from minirun.image.document import Document, parse
from minirun.image.layers import MAX_LAYERS, new_blob, new_layer, sweep
from minirun.image.parallel import run_all
from minirun.image.platforms import Platform, host_platform
from minirun.image.records import Blob, Layer
from minirun.instance import Instance

Progress = Callable[[int], None]  # told how many bytes more have been read


@dataclass
class Loaded:
    """One image that was loaded.

    id: 64 hexadecimal digits
    renamed: (tag, id of the image that had it)
    """

    id: str
    tags: tuple[str, ...]
    renamed: list[tuple[str, str]] = field(default_factory=list)


def load(
    instance: Instance, source: BinaryIO, name: str, platform: Platform | None = None, progress: Progress | None = None
) -> Iterator[Loaded]:
    """Load all images of an archive, and yield each when it is on record.

    name: what error messages call the archive
    platform: of images for several platforms, the one to take; this machine's by default
    MinirunError when the archive is damaged; the images before that are kept.
    """
    sweep(instance)
    with open_archive(source, instance.root, name) as archive:
        for entry in images_in(archive, platform or host_platform()):
            yield _load(instance, archive, entry, progress or (lambda _: None))


def _load(instance: Instance, archive: ImageArchive, entry: ArchivedImage, progress: Progress) -> Loaded:
    document = _document(archive, entry)
    paths = dict(zip(document.diff_ids, entry.layers, strict=True))
    known = {diff_id: layer for diff_id in paths if (layer := records.layer(instance.store, diff_id)) is not None}
    reading = _Reading(archive, progress)
    with ExitStack() as stack:
        unpackings = [
            _Unpacking(
                reading,
                path,
                diff_id,
                stack.enter_context(new_layer(instance)),
                stack.enter_context(new_blob(instance)),
            )
            for diff_id, path in paths.items()
            if diff_id not in known
        ]
        results = run_all([unpacking.run for unpacking in unpackings], reading.cancelled.set)
        new = {layer.diff_id: layer for layer, _ in results}
        layers = [(new | known)[diff_id] for diff_id in document.diff_ids]
        return _record(instance, document, layers, [blob for _, blob in results], entry.tags)


def _document(archive: ImageArchive, entry: ArchivedImage) -> Document:
    try:
        document = parse(archive.read(entry.config).decode())
    except UnicodeDecodeError:
        raise archive.error(f"its {entry.config} is not UTF-8") from None
    if len(document.diff_ids) != len(entry.layers):
        raise archive.error(f"an image has {len(entry.layers)} layers, and its configuration {len(document.diff_ids)}")
    if len(document.diff_ids) > MAX_LAYERS:
        raise MinirunError(f"max depth exceeded: an image has at most {MAX_LAYERS} layers")
    return document


class _Reading:
    """The reading of an archive's layers, side by side. `cancelled`: it ends, because another layer has failed."""

    def __init__(self, archive: ImageArchive, progress: Progress) -> None:
        self.archive = archive
        self.cancelled = threading.Event()
        self._progress = progress
        self._lock = threading.Lock()

    def advance(self, count: int) -> None:
        """Tell of bytes that were read. MinirunError when the reading has been cancelled."""
        if self.cancelled.is_set():
            raise MinirunError("loading was cancelled")
        with self._lock:
            self._progress(count)


@dataclass(frozen=True)
class _Unpacking:
    """The unpacking of one layer.

    path: its file in the archive
    directory, file: where its content goes, and the archive of it
    """

    reading: _Reading
    path: str
    diff_id: str
    directory: Path
    file: Path

    def run(self) -> tuple[Layer, Blob]:
        """Unpack the layer, and keep its archive: compressed if it came so by gzip or zstd, else uncompressed."""
        name = f"layer sha256:{self.diff_id}"
        with self.reading.archive.open(self.path) as stream, self.file.open("wb") as target:
            source = _Counted(stream, self.reading)
            try:
                content, blob = self._unpack(source, target, name)
            except MinirunError as error:
                raise MinirunError(error.message if name in error.message else f"{name}: {error.message}") from None
        if content.diff_id != self.diff_id:
            raise MinirunError(f"{name}: its content has the digest sha256:{content.diff_id}: the archive is damaged")
        return Layer(self.diff_id, self.directory.name, tree_size(self.directory), content.tar_size), blob

    def _unpack(self, source: "_Counted", target: IO[bytes], name: str) -> tuple[LayerDigest, Blob]:
        compression = compression_of(source.peek())
        if compression not in (GZIP, ZSTD):
            plain = _Copied(decompressed(cast(BinaryIO, source), name), target)
            content = unpack_layer(cast(IO[bytes], plain), self.directory)
            return content, Blob(content.diff_id, self.diff_id, content.tar_size, self.file.name, "")
        blob = DigestWriter(target)
        content = unpack_layer(decompressed(cast(BinaryIO, _Copied(source, blob)), name), self.directory)
        while data := source.read(CHUNK):  # what follows the compressed stream belongs to the blob
            blob.write(data)
        return content, Blob(blob.hexdigest(), self.diff_id, blob.size, self.file.name, compression)


def _record(
    instance: Instance, document: Document, layers: list[Layer], blobs: list[Blob], tags: tuple[str, ...]
) -> Loaded:
    store = instance.store
    loaded = Loaded(document.id, tags)
    new = {blob.diff_id for blob in blobs}
    with store.write():
        gone = [layer for layer in layers if layer.diff_id not in new and not records.layer(store, layer.diff_id)]
        if gone:
            raise MinirunError("an image that shares layers with this one was removed meanwhile", "try again")
        records.add(store, document, layers)
        for blob in blobs:
            records.add_blob(store, blob)
        for tag in tags:
            before = records.tagged(store, tag)
            if before is not None and before.id != document.id:
                loaded.renamed.append((tag, before.id))
            records.tag(store, tag, document.id)
        store.add_event("image", "load", f"sha256:{document.id}", {"name": f"sha256:{document.id}"})
    return loaded


class _Counted:
    """A file of the archive; `reading` is told of what is read."""

    def __init__(self, stream: IO[bytes], reading: _Reading) -> None:
        self._stream = stream
        self._reading = reading

    def read(self, count: int = -1, /) -> bytes:
        data = self._stream.read(count)
        self._reading.advance(len(data))
        return data

    def peek(self) -> bytes:
        head = self._stream.read(8)
        self._stream.seek(0)
        return head


class _Copied:
    """A stream whose content is also written to `target`."""

    def __init__(self, source: "_Counted | IO[bytes]", target: Writable) -> None:
        self._source = source
        self._target = target

    def read(self, count: int = -1, /) -> bytes:
        data = self._source.read(count)
        self._target.write(data)
        return data
