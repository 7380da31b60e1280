"""push: an image to a registry. What came from one goes back byte for byte, and has the same digests."""

import json
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import IO, Any

from minirun.archive.compression import GZIP, GzipWriter
from minirun.archive.layer_content import DigestWriter
from minirun.errors import NotFoundError
from minirun.image import records
from minirun.image.layer_archive import open_layer
from minirun.image.layers import BLOBS, new_blob, sweep
from minirun.image.manifests import (
    OCI_CONFIG,
    OCI_LAYER,
    OCI_MANIFEST,
    Descriptor,
    ImageManifest,
    Manifest,
    parse_manifest,
)
from minirun.image.parallel import run_all
from minirun.image.pull import Progress
from minirun.image.records import Blob, Image, Layer
from minirun.image.reference import Reference, digest_of, parse_reference
from minirun.image.registry.client import Client
from minirun.image.registry.repository import Repository
from minirun.instance import Instance

_CHUNK = 1 << 20
_SHA256 = "sha256:"


@dataclass(frozen=True)
class Pushed:
    """The manifest that the registry has now: its digest and size in bytes."""

    digest: str
    size: int


@dataclass(frozen=True)
class _Transfer:
    """A layer on its way. `mount_from`: a repository at the same registry that may have it, or ""."""

    repository: Repository
    blob: Descriptor
    diff_id: str
    file: Path
    mount_from: str
    progress: Progress

    def run(self) -> None:
        """Send the layer unless the registry has it."""
        if self.repository.has_blob(self.blob):
            return self.progress.state(self.diff_id, "Layer already exists")
        if self.repository.upload(self.blob, self._open_at, self.mount_from):
            return self.progress.state(self.diff_id, f"Mounted from {self.mount_from}")
        return self.progress.state(self.diff_id, "Pushed")

    def _open_at(self, start: int) -> IO[bytes]:
        file = self.file.open("rb")
        file.seek(start)
        return file


def push(instance: Instance, client: Client, reference: Reference, progress: Progress) -> Pushed:
    """Push the image that has a tag to the registry that the tag names.

    NotFoundError if there is none, and RegistryError in Docker's words.
    """
    image = records.tagged(instance.store, reference.familiar)
    if image is None:
        raise NotFoundError(f"An image does not exist locally with the tag: {reference.repository}")
    repository = client.repository(reference)
    for layer in image.layers:
        progress.state(layer.diff_id, "Preparing")
    manifest, descriptors, blobs = _content(instance, image)
    transfers = [
        _Transfer(
            repository,
            descriptor,
            blob.diff_id,
            instance.root / BLOBS / blob.file,
            _other_repository(instance, blob.diff_id, reference),
            progress,
        )
        for descriptor, blob in dict(zip(descriptors, blobs, strict=True)).items()
    ]
    run_all([transfer.run for transfer in transfers], client.close)
    text = image.text.encode()
    config = Descriptor(OCI_CONFIG, digest_of(text), len(text))
    if not repository.has_blob(config):
        repository.upload(config, lambda start: BytesIO(text[start:]))
    repository.put_manifest(reference.target, manifest)
    with instance.store.write():
        if records.is_there(instance.store, image.id):
            records.set_manifest(instance.store, image.id, manifest)
            records.add_digest(instance.store, reference.familiar_repository, manifest.digest, image.id)
        instance.store.add_event("image", "push", reference.familiar, {"name": reference.familiar_repository})
    sweep(instance)  # uncompressed layers that the compressed ones have replaced
    return Pushed(manifest.digest, len(manifest.raw))


def _content(instance: Instance, image: Image) -> tuple[Manifest, list[Descriptor], list[Blob]]:
    """Return the manifest, its layers, and the files with their content.

    The manifest is the one by which the image was transferred last, if its layers are still there; else a new one.
    """
    known = records.manifest_of(instance.store, image.id)
    if known is not None:
        document = parse_manifest(known, image.id)
        layers = list(document.layers) if isinstance(document, ImageManifest) else []
        kept = [records.blob(instance.store, layer.digest.removeprefix(_SHA256)) for layer in layers]
        blobs = [blob for blob in kept if blob is not None]
        if [blob.diff_id for blob in blobs] == [layer.diff_id for layer in image.layers]:
            return known, layers, blobs
    compressed = [_compressed(instance, layer) for layer in image.layers]
    return *_manifest(image, compressed), compressed


def _compressed(instance: Instance, layer: Layer) -> Blob:
    """Return the compressed layer; compress and record it if it was made or loaded here."""
    known = records.blob_of(instance.store, layer.diff_id)
    if known is not None and known.compression:
        return known
    with new_blob(instance) as file, file.open("wb") as target:
        digest = DigestWriter(target)
        packed = GzipWriter(digest)
        with open_layer(instance, layer) as stream:
            while data := stream.read(_CHUNK):
                packed.write(data)
        packed.finish()
        target.flush()
        blob = Blob(digest.hexdigest(), layer.diff_id, digest.size, file.name, GZIP)
        with instance.store.write():
            records.add_blob(instance.store, blob)
            records.delete_plain_blob(instance.store, layer.diff_id)
        return blob


def _manifest(image: Image, blobs: list[Blob]) -> tuple[Manifest, list[Descriptor]]:
    layers = [Descriptor(_media_type(blob), _SHA256 + blob.digest, blob.size) for blob in blobs]
    text = image.text.encode()
    content = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": _described(Descriptor(OCI_CONFIG, digest_of(text), len(text))),
        "layers": [_described(layer) for layer in layers],
    }
    raw = json.dumps(content, separators=(",", ":")).encode()
    return Manifest(OCI_MANIFEST, digest_of(raw), raw), layers


def _media_type(blob: Blob) -> str:
    return f"{OCI_LAYER}+{blob.compression}" if blob.compression else OCI_LAYER


def _described(descriptor: Descriptor) -> dict[str, Any]:
    return {"mediaType": descriptor.media_type, "digest": descriptor.digest, "size": descriptor.size}


def _other_repository(instance: Instance, diff_id: str, reference: Reference) -> str:
    """Return the path of another repository at the same registry that has, or had, an image with this layer."""
    for image_id, names in records.digests(instance.store).items():
        image = records.by_id(instance.store, image_id)
        if image is not None and any(layer.diff_id == diff_id for layer in image.layers):
            for other in map(parse_reference, names):
                if other.domain == reference.domain and other.path != reference.path:
                    return other.path
    return ""
