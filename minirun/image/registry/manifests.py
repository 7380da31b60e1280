"""Manifests, image indexes and descriptors of both families, read from what a registry sends.

https://github.com/opencontainers/image-spec/blob/main/manifest.md, image-index.md, descriptor.md;
https://distribution.github.io/distribution/spec/manifest-v2-2/
"""

import json
from dataclasses import dataclass, field
from typing import Any

from minirun.errors import MinirunError
from minirun.image.reference import check_digest
from minirun.image.registry.errors import RegistryError
from minirun.image.registry.platforms import Platform, platform_of, runnable

LONGEST = 4 << 20  # bytes, as containerd and Docker bound a manifest
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
INDEXES = (OCI_INDEX, DOCKER_LIST)
MANIFESTS = (OCI_MANIFEST, DOCKER_MANIFEST)
_SCHEMA_1 = "application/vnd.docker.distribution.manifest.v1"
# What a manifest calls an image's configuration; the last three were written by registries that did not know the type.
_CONFIGS = (
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.docker.container.image.v1+json",
    "application/octet-stream",
    "application/json",
    "text/html",
)
_LAYERS = {
    "application/vnd.oci.image.layer.v1.tar": "",
    "application/vnd.oci.image.layer.v1.tar+gzip": "gzip",
    "application/vnd.oci.image.layer.v1.tar+zstd": "zstd",
    "application/vnd.oci.image.layer.nondistributable.v1.tar": "",
    "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip": "gzip",
    "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd": "zstd",
    "application/vnd.docker.image.rootfs.diff.tar": "",
    "application/vnd.docker.image.rootfs.diff.tar.gzip": "gzip",
    "application/vnd.docker.image.rootfs.diff.tar.zstd": "zstd",
    "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip": "gzip",
}
_ATTESTATION = ("vnd.docker.reference.type", "attestation-manifest")


@dataclass(frozen=True)
class Manifest:
    """A manifest or an index as the registry has it; `digest` is that of `raw`."""

    media_type: str
    digest: str
    raw: bytes

    @property
    def descriptor(self) -> "Descriptor":
        """What an index says of it."""
        return Descriptor(self.media_type, self.digest, len(self.raw))


@dataclass(frozen=True)
class Descriptor:
    """What a document says of another one: its type, digest and size in bytes."""

    media_type: str
    digest: str
    size: int
    platform: Platform | None = None
    annotations: dict[str, str] = field(default_factory=dict, hash=False)

    @property
    def compression(self) -> str:
        """How a layer is compressed according to its type: "gzip", "zstd" or "" for not at all."""
        return _LAYERS.get(self.media_type, "")

    @property
    def is_attestation(self) -> bool:
        """Whether an index entry is a note about another one (BuildKit's provenance), and no image."""
        unknown = self.platform is not None and self.platform.system == "unknown"
        return unknown or self.annotations.get(_ATTESTATION[0]) == _ATTESTATION[1]


@dataclass(frozen=True)
class ImageManifest:
    """One image for one platform; the lowest layer is the first."""

    config: Descriptor
    layers: tuple[Descriptor, ...]


@dataclass(frozen=True)
class ImageIndex:
    """The same image for several platforms; entries may be indexes themselves."""

    entries: tuple[Descriptor, ...]

    def chosen(self, wanted: Platform) -> list[Descriptor]:
        """Return the entries that may hold the image for a platform, best first; without attestations."""
        images = [entry for entry in self.entries if not entry.is_attestation]
        matching = [entry for choice in runnable(wanted) for entry in images if entry.platform == choice]
        return matching + [entry for entry in images if entry.platform is None]

    @property
    def platforms(self) -> list[str]:
        """The platforms that entries name, for a person to read."""
        return list(
            dict.fromkeys(str(entry.platform) for entry in self.entries if entry.platform and not entry.is_attestation)
        )


def media_type_of(content_type: str, raw: bytes) -> str:
    """Return the media type of a document: the header's, or what the document says where the header is unspecific."""
    stated = content_type.partition(";")[0].strip().lower()
    if stated in (*INDEXES, *MANIFESTS) or stated.startswith(_SCHEMA_1):
        return stated
    data = _load(raw)
    own = data.get("mediaType")
    if isinstance(own, str):
        return own
    if data.get("schemaVersion") == 1:
        return f"{_SCHEMA_1}+json"
    return OCI_INDEX if "manifests" in data else OCI_MANIFEST if "layers" in data else stated


def parse_manifest(manifest: Manifest, name: str) -> ImageManifest | ImageIndex:
    """Read a document. RegistryError, which speaks of the image as `name`, if it is malformed or not supported."""
    if manifest.media_type.startswith(_SCHEMA_1):
        raise RegistryError(
            f"{name} has a manifest of version 2, schema 1, which is not supported",
            "its publisher has to push it again",
        )
    if manifest.media_type not in (*INDEXES, *MANIFESTS):
        raise RegistryError(f"{name}: unsupported manifest media type {manifest.media_type!r}")
    try:
        return _document(_load(manifest.raw), manifest.media_type)
    except _MalformedError as error:
        raise RegistryError(f"{name}: {error}", f"the manifest is {manifest.digest}") from None


class _MalformedError(Exception):
    """What is wrong with a document."""


def _document(data: dict[str, Any], media_type: str) -> ImageManifest | ImageIndex:
    if data.get("schemaVersion") != 2:
        raise _MalformedError("malformed manifest: schemaVersion is not 2")
    if data.get("mediaType", media_type) != media_type:
        raise _MalformedError("malformed manifest: its mediaType is not the one that the registry says")
    if "manifests" in data and ("layers" in data or "config" in data):  # CVE-2021-41190
        raise _MalformedError("ambiguous manifest: it is an index and a manifest in one")
    if media_type in INDEXES:
        return ImageIndex(_descriptors(data, "manifests"))
    config = _descriptor(data.get("config"))
    if config.media_type not in _CONFIGS:
        raise _MalformedError(f"it is no container image but {config.media_type!r}")
    layers = _descriptors(data, "layers")
    for layer in layers:
        if layer.media_type not in _LAYERS:
            raise _MalformedError(f"unsupported layer media type {layer.media_type!r}")
    return ImageManifest(config, layers)


def _descriptors(data: dict[str, Any], key: str) -> tuple[Descriptor, ...]:
    entries = data.get(key)
    if not isinstance(entries, list):
        raise _MalformedError(f"malformed manifest: {key} is not a list")
    return tuple(_descriptor(entry) for entry in entries)


def _descriptor(data: Any) -> Descriptor:
    if not isinstance(data, dict):
        raise _MalformedError("malformed manifest: a descriptor is not an object")
    media_type, digest, size = (data.get(key) for key in ("mediaType", "digest", "size"))
    if (
        not isinstance(media_type, str)
        or not isinstance(digest, str)
        or type(size) is not int
        or not 0 <= size < 1 << 63
    ):
        raise _MalformedError("malformed manifest: a descriptor lacks its mediaType, digest or size")
    try:
        check_digest(digest)
    except MinirunError as error:
        raise _MalformedError(f"malformed manifest: {digest[:80]!r}: {error}") from None
    notes = data.get("annotations")
    annotations = (
        {key: value for key, value in notes.items() if isinstance(value, str)} if isinstance(notes, dict) else {}
    )
    return Descriptor(media_type, digest, size, platform_of(data.get("platform")), annotations)


def _load(raw: bytes) -> dict[str, Any]:
    try:
        data = json.loads(raw)
    except (ValueError, RecursionError):
        raise RegistryError("the registry sent a manifest that is not JSON") from None
    if not isinstance(data, dict):
        raise RegistryError("the registry sent a manifest that is not a JSON object")
    return data
