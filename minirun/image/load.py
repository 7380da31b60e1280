"""load: images from archives (archive_layout.py): each layer is unpacked, and kept compressed, unless it exists."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, BinaryIO, cast

from minirun.archive.compression import CHUNK, GZIP, ZSTD, GzipWriter, compression_of, decompressed
from minirun.archive.layer_content import DigestWriter, unpack_layer
from minirun.archive.tree_walk import tree_size
from minirun.errors import MinirunError
from minirun.image import records
from minirun.image.archive_file import ImageArchive, open_archive
from minirun.image.archive_layout import ArchivedImage, images_in
from minirun.image.document import Document, parse
from minirun.image.layers import MAX_LAYERS, new_blob, new_layer, sweep
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
    with ExitStack() as stack:
        layers: list[Layer] = []
        blobs: list[Blob] = []
        for path, diff_id in zip(entry.layers, document.diff_ids, strict=True):
            known = records.layer(instance.store, diff_id) or next(
                (one for one in layers if one.diff_id == diff_id), None
            )
            if known is not None:
                layers.append(known)
                continue
            directory, file = stack.enter_context(new_layer(instance)), stack.enter_context(new_blob(instance))
            with archive.open(path) as stream:
                layer, blob = _unpack(_Counted(stream, progress), directory, file, diff_id)
            layers.append(layer)
            blobs.append(blob)
        return _record(instance, document, layers, blobs, entry.tags)


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


def _unpack(source: "_Counted", directory: Path, file: Path, diff_id: str) -> tuple[Layer, Blob]:
    """Unpack a layer, and keep it compressed: as it came, or by gzip."""
    name = f"layer sha256:{diff_id}"
    with file.open("wb") as target:
        blob = DigestWriter(target)
        compression = compression_of(source.peek())
        try:
            if compression in (GZIP, ZSTD):
                content = unpack_layer(decompressed(cast(BinaryIO, _Copied(source, blob)), name), directory)
                while data := source.read(CHUNK):  # what follows the compressed stream belongs to the blob
                    blob.write(data)
            else:
                compression, packed = GZIP, GzipWriter(blob)
                plain = _Copied(decompressed(cast(BinaryIO, source), name), packed)
                content = unpack_layer(cast(IO[bytes], plain), directory)
                packed.finish()
        except MinirunError as error:
            raise MinirunError(error.message if name in error.message else f"{name}: {error.message}") from None
    if content.diff_id != diff_id:
        raise MinirunError(f"{name}: its content has the digest sha256:{content.diff_id}: the archive is damaged")
    layer = Layer(diff_id, directory.name, tree_size(directory), content.tar_size)
    return layer, Blob(blob.hexdigest(), diff_id, blob.size, file.name, compression)


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
    """A file of the archive; `progress` is told of what is read."""

    def __init__(self, stream: IO[bytes], progress: Progress) -> None:
        self._stream = stream
        self._progress = progress

    def read(self, count: int = -1, /) -> bytes:
        data = self._stream.read(count)
        self._progress(len(data))
        return data

    def peek(self) -> bytes:
        head = self._stream.read(8)
        self._stream.seek(0)
        return head


class _Copied:
    """A stream whose content is also written to `target`."""

    def __init__(self, source: "_Counted | IO[bytes]", target: DigestWriter | GzipWriter) -> None:
        self._source = source
        self._target = target

    def read(self, count: int = -1, /) -> bytes:
        data = self._source.read(count)
        self._target.write(data)
        return data
