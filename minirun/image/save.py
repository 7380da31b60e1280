"""save: images as one tar archive that holds an OCI image layout and Docker's own index of it, as Docker 25 writes it.

https://github.com/opencontainers/image-spec/blob/main/image-layout.md
"""

import io
import json
import tarfile
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, BinaryIO, cast

from minirun.archive.pack import Writable
from minirun.errors import MinirunError
from minirun.image.layer_archive import open_layer, tar_size
from minirun.image.manifests import OCI_CONFIG, OCI_INDEX, OCI_LAYER, OCI_MANIFEST
from minirun.image.records import Image, Layer
from minirun.image.reference import parse, parse_reference
from minirun.image.resolve import find_image, is_id_of, tags_of
from minirun.instance import Instance

_CHUNK = 65536  # bytes that are written at once
_BLOBS = "blobs/sha256/"
_LAYOUT = {"imageLayoutVersion": "1.0.0"}


@dataclass
class _Saved:
    image: Image
    tags: list[str]


def save(instance: Instance, references: Iterable[str], target: Writable) -> None:
    """Write images to `target` as a tar archive; the same images give the same bytes.

    A name without tag stands for all its tags, an id for the image without any. NotFoundError for an unknown one,
    before anything is written.
    """
    images = _chosen(instance, references)
    sizes = {layer.diff_id: tar_size(instance, layer) for saved in images for layer in saved.image.layers}
    documents = {saved.image.document.id: saved.image.text.encode() for saved in images}
    manifests = [_manifest(saved.image, sizes) for saved in images]
    documents |= {sha256(manifest).hexdigest(): manifest for manifest in manifests}
    layers = {layer.diff_id: layer for saved in images for layer in saved.image.layers}
    with tarfile.open(fileobj=cast(BinaryIO, target), mode="w|", bufsize=_CHUNK, format=tarfile.PAX_FORMAT) as tar:
        for directory in ("blobs", _BLOBS.rstrip("/")):
            tar.addfile(_entry(directory, 0, tarfile.DIRTYPE))
        for digest in sorted({*documents, *layers}):
            if digest in documents:
                _add(tar, _BLOBS + digest, documents[digest])
            else:
                _add_layer(instance, tar, layers[digest], sizes[digest])
        _add(tar, "index.json", _json(_index(images, manifests)))
        _add(tar, "manifest.json", _json([_docker_entry(saved, sizes) for saved in images]))
        _add(tar, "oci-layout", _json(_LAYOUT))
        if repositories := _repositories(images):
            _add(tar, "repositories", _json(repositories))


def _chosen(instance: Instance, references: Iterable[str]) -> list[_Saved]:
    """Each image once, with the tags by which it was asked for."""
    chosen: dict[str, _Saved] = {}
    for reference in references:
        tags = _tags_of(instance, reference)
        for name in tags or [reference]:
            image = find_image(instance, name)
            saved = chosen.setdefault(image.id, _Saved(image, []))
            if not is_id_of(image, name) and parse(name) not in saved.tags:
                saved.tags.append(parse(name))
    return list(chosen.values())


def _tags_of(instance: Instance, reference: str) -> list[str]:
    """All tags of a name without tag."""
    with suppress(MinirunError):
        name = parse_reference(reference)
        if not name.tag and not name.digest:
            return [tagged.familiar for tagged in tags_of(instance, name)]
    return []


def _manifest(image: Image, sizes: dict[str, int]) -> bytes:
    layers = [
        {"mediaType": OCI_LAYER, "digest": f"sha256:{layer.diff_id}", "size": sizes[layer.diff_id]}
        for layer in image.layers
    ]
    config = {
        "mediaType": OCI_CONFIG,
        "digest": f"sha256:{image.document.id}",
        "size": len(image.text.encode()),
    }
    return _json({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": layers})


def _index(images: list[_Saved], manifests: list[bytes]) -> dict[str, Any]:
    entries = []
    for saved, manifest in zip(images, manifests, strict=True):
        descriptor = {
            "mediaType": OCI_MANIFEST,
            "digest": f"sha256:{sha256(manifest).hexdigest()}",
            "size": len(manifest),
        }
        document = saved.image.document
        platform = {"architecture": document.architecture, "os": document.os}
        descriptor["platform"] = {**platform, **({"variant": document.variant} if document.variant else {})}
        for tag in saved.tags or [""]:
            entries.append({**descriptor, **({"annotations": _names(tag)} if tag else {})})
    return {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}


def _names(tag: str) -> dict[str, str]:
    reference = parse_reference(tag)
    return {"io.containerd.image.name": reference.canonical, "org.opencontainers.image.ref.name": reference.tag}


def _docker_entry(saved: _Saved, sizes: dict[str, int]) -> dict[str, Any]:
    return {
        "Config": _BLOBS + saved.image.document.id,
        "RepoTags": saved.tags or None,
        "Layers": [_BLOBS + layer.diff_id for layer in saved.image.layers],
        "LayerSources": {
            f"sha256:{layer.diff_id}": {
                "mediaType": OCI_LAYER,
                "size": sizes[layer.diff_id],
                "digest": f"sha256:{layer.diff_id}",
            }
            for layer in saved.image.layers
        },
    }


def _repositories(images: list[_Saved]) -> dict[str, dict[str, str]]:
    """Return what Docker before 1.10 reads: the topmost layer of each tag."""
    names: dict[str, dict[str, str]] = {}
    for saved in images:
        for tag in saved.tags if saved.image.layers else ():
            name, _, version = tag.rpartition(":")
            names.setdefault(name, {})[version] = saved.image.layers[-1].diff_id
    return names


def _add_layer(instance: Instance, tar: tarfile.TarFile, layer: Layer, size: int) -> None:
    with open_layer(instance, layer) as stream:
        try:
            tar.addfile(_entry(_BLOBS + layer.diff_id, size), stream)
        except OSError as error:
            if error.errno is not None:
                raise
            raise MinirunError(f"layer sha256:{layer.diff_id} is shorter than it was: {error}") from None


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    tar.addfile(_entry(name, len(content)), io.BytesIO(content))


def _entry(name: str, size: int, kind: bytes = tarfile.REGTYPE) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.size, entry.mode = kind, size, 0o755 if kind == tarfile.DIRTYPE else 0o644
    return entry


def _json(content: Any) -> bytes:
    return json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode()
