"""pull: an image from a registry. Each layer is one stream: received, kept, inflated, verified and unpacked at once.

Layers come side by side. Nothing of the image is on record before all of it is there and right.
"""

import os
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO, Protocol, cast

from minirun.archive.compression import CHUNK, DamagedError, decompressed
from minirun.archive.layer_content import unpack_layer
from minirun.archive.tree_walk import tree_size
from minirun.errors import MinirunError
from minirun.image import records
from minirun.image.document import Document, parse
from minirun.image.layers import BLOBS, MAX_LAYERS, new_layer, partial_download, sweep
from minirun.image.manifests import Descriptor
from minirun.image.parallel import run_all
from minirun.image.platforms import Platform
from minirun.image.records import Blob, Layer
from minirun.image.reference import Reference
from minirun.image.registry.client import Client
from minirun.image.registry.repository import FoundImage, Repository
from minirun.instance import Instance

_SHA256 = "sha256:"


class Progress(Protocol):
    """Who is told how a pull goes on. `layer` is the digest of the blob, without its algorithm."""

    def found(self, reference: Reference) -> None:
        """Say that the registry has the image."""

    def state(self, layer: str, text: str) -> None:
        """Say what happens to a layer, in Docker's words."""

    def advance(self, layer: str, current: int, total: int) -> None:
        """Say how many of a layer's bytes have been received."""

    def kept(self, size: int) -> None:
        """Say how many bytes a pull that failed has kept for the next one."""


@dataclass(frozen=True)
class Pulled:
    """The result of a pull.

    id: the image's, 64 hexadecimal digits
    digest: what the registry calls it, sha256:...
    is_new: whether anything was downloaded or tagged
    """

    id: str
    digest: str
    is_new: bool

    def lines(self, reference: Reference) -> tuple[str, str]:
        """Tell of it in Docker's words."""
        state = "Downloaded newer image" if self.is_new else "Image is up to date"
        return f"Digest: {self.digest}", f"Status: {state} for {reference.familiar}"


@dataclass(frozen=True)
class _Wanted:
    """A layer of the image."""

    blob: Descriptor
    diff_id: str

    @property
    def digest(self) -> str:
        return self.blob.digest.removeprefix(_SHA256)


def pull(instance: Instance, client: Client, reference: Reference, platform: Platform, progress: Progress) -> Pulled:
    """Pull the image that a tag or digest means at its registry, and record it under that name.

    MinirunError, and RegistryError in Docker's words; what was received of incomplete layers is kept for the next try.
    """
    sweep(instance)
    repository = client.repository(reference)
    found = repository.find(reference.target, platform)
    progress.found(reference)
    document = _document(repository, found)
    wanted = [_Wanted(*pair) for pair in zip(found.image.layers, document.diff_ids, strict=True)]
    with ExitStack() as stack:
        missing = _missing(instance, wanted)
        # All locks in one order: two pulls of images that share layers must not wait for each other.
        files = {
            layer.diff_id: stack.enter_context(partial_download(instance, layer.digest))
            for layer in sorted(missing.values(), key=lambda layer: layer.digest)
        }
        # Another pull may have completed some meanwhile. One that an rmi has just removed is told of by _record.
        missing = {diff_id: layer for diff_id, layer in _missing(instance, wanted).items() if diff_id in files}
        for layer in wanted:
            progress.state(layer.digest, "Pulling fs layer" if layer.diff_id in missing else "Already exists")
        fetches = [
            _Fetch(repository, layer, stack.enter_context(new_layer(instance)), files[diff_id], progress)
            for diff_id, layer in missing.items()
        ]
        try:
            results = run_all([fetch.run for fetch in fetches], client.close)
        except BaseException:
            progress.kept(sum(file.stat().st_size for file in files.values()))
            raise
        return _record(instance, reference, found, document, {layer.diff_id: (layer, blob) for layer, blob in results})


def _document(repository: Repository, found: FoundImage) -> Document:
    raw = repository.read_blob(found.image.config)
    try:
        document = parse(raw.decode())
    except UnicodeDecodeError:
        raise MinirunError("invalid image configuration: it is not UTF-8") from None
    if len(document.diff_ids) != len(found.image.layers):
        raise MinirunError("invalid image: its manifest and its configuration differ in the number of layers")
    if len(document.diff_ids) > MAX_LAYERS:
        raise MinirunError(f"max depth exceeded: an image has at most {MAX_LAYERS} layers")
    if other := [layer for layer in found.image.layers if not layer.digest.startswith(_SHA256)]:
        raise MinirunError(f"layer {other[0].digest}: only sha256 is supported")
    digests = [layer.digest for layer in found.image.layers]
    if len({*zip(digests, document.diff_ids, strict=True)}) > len({*digests}):
        # Its file would be locked twice, and the second lock wait for the first.
        raise MinirunError("invalid image: its configuration has two digests for the content of one layer")
    return document


def _missing(instance: Instance, wanted: list[_Wanted]) -> dict[str, _Wanted]:
    return {layer.diff_id: layer for layer in wanted if records.layer(instance.store, layer.diff_id) is None}


@dataclass(frozen=True)
class _Fetch:
    """The download of one layer.

    directory: where it is unpacked
    file: what has been received of it so far
    """

    repository: Repository
    layer: _Wanted
    directory: Path
    file: Path
    progress: Progress

    def run(self) -> tuple[Layer, Blob]:
        layer, name = self.layer, f"layer {self.layer.blob.digest}"
        with self.file.open("r+b", buffering=0) as file, closing(_Received(self, file)) as stream:
            try:
                content = unpack_layer(decompressed(cast(BinaryIO, stream), name), self.directory)
                while stream.read(CHUNK):  # what follows the compressed stream belongs to the blob
                    pass
                self._check(stream.hexdigest(), content.diff_id)
            except MinirunError as error:
                if stream.failure is not None:
                    raise stream.failure from None
                if isinstance(error, DamagedError):
                    os.ftruncate(file.fileno(), 0)  # what was received is wrong: the next try begins anew
                raise MinirunError(error.message if name in error.message else f"{name}: {error.message}") from None
        self.progress.state(layer.digest, "Pull complete")
        unpacked = Layer(layer.diff_id, self.directory.name, tree_size(self.directory), content.tar_size)
        return unpacked, Blob(layer.digest, layer.diff_id, layer.blob.size, self.file.name, layer.blob.compression)

    def _check(self, digest: str, diff_id: str) -> None:
        if digest != self.layer.digest:
            raise DamagedError(f"the registry sent one with the digest {_SHA256}{digest}")
        if diff_id != self.layer.diff_id:
            raise MinirunError(
                f"its content has the digest {_SHA256}{diff_id}; the image's configuration says {self.layer.diff_id}"
            )


class _Received:
    """The bytes of a blob: what an earlier pull has left of it, then what comes, which is kept.

    failure: the error of the connection, which to the reader looks like a stream that was cut off
    """

    def __init__(self, fetch: _Fetch, file: BinaryIO) -> None:
        self._fetch = fetch
        self._file = file
        self._sha256 = sha256()
        self._kept = min(os.fstat(file.fileno()).st_size, fetch.layer.blob.size)
        self._position = 0
        self._download: BinaryIO | None = None
        self.failure: BaseException | None = None

    def read(self, count: int = -1, /) -> bytes:
        if self._position < self._kept:
            data = self._file.read(min(count, self._kept - self._position))
        else:
            data = self._receive(count)
        if data:
            self._sha256.update(data)
            self._position += len(data)
            self._fetch.progress.advance(self._fetch.layer.digest, self._position, self._fetch.layer.blob.size)
        return data

    def _receive(self, count: int) -> bytes:
        try:
            if self._download is None:
                self._download = cast(BinaryIO, self._fetch.repository.blob(self._fetch.layer.blob, self._position))
                os.ftruncate(self._file.fileno(), self._position)
                self._file.seek(self._position)
            data = self._download.read(count)
            view = memoryview(data)
            while view:
                view = view[self._file.write(view) :]
            return data
        except BaseException as error:
            self.failure = error
            raise

    def hexdigest(self) -> str:
        return self._sha256.hexdigest()

    def close(self) -> None:
        if self._download is not None:
            self._download.close()


def _record(
    instance: Instance,
    reference: Reference,
    found: FoundImage,
    document: Document,
    fetched: dict[str, tuple[Layer, Blob]],
) -> Pulled:
    """Record the image, whole. Its blobs get the names that they keep just before."""
    store = instance.store
    tag = reference.familiar if reference.tag and not reference.digest else ""
    blobs = []
    for _, blob in fetched.values():
        path = instance.root / BLOBS / blob.file
        blobs.append(replace(blob, file=path.rename(path.with_name(os.urandom(8).hex())).name))
    with store.write():
        layers = [_layer(instance, diff_id, fetched) for diff_id in document.diff_ids]
        before = (
            records.tagged(store, tag)
            if tag
            else records.by_digest(store, reference.familiar_repository, found.top.digest)
        )
        image = records.add(store, document, layers)
        for blob in blobs:
            records.add_blob(store, blob)
        records.set_manifest(store, image.id, found.manifest)
        records.add_digest(store, reference.familiar_repository, found.top.digest, image.id)
        if tag:
            records.tag(store, tag, image.id)
        store.add_event("image", "pull", reference.familiar, {"name": reference.familiar_repository})
    return Pulled(image.id, found.top.digest, before is None or before.id != image.id)


def _layer(instance: Instance, diff_id: str, fetched: dict[str, tuple[Layer, Blob]]) -> Layer:
    layer = fetched[diff_id][0] if diff_id in fetched else records.layer(instance.store, diff_id)
    if layer is None:
        raise MinirunError("an image that shares layers with this one was removed meanwhile", "try again")
    return layer
