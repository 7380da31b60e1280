"""What an image archive holds, as `docker save`, skopeo and BuildKit write it.

Docker's own index, manifest.json, comes first; an archive without it is read as an OCI image layout
(https://github.com/opencontainers/image-spec/blob/main/image-layout.md).
"""

from dataclasses import dataclass
from typing import Any

from minirun.errors import MinirunError
from minirun.image.archive_file import ImageArchive
from minirun.image.manifests import (
    OCI_INDEX,
    Descriptor,
    ImageIndex,
    ImageManifest,
    Manifest,
    media_type_of,
    parse_manifest,
)
from minirun.image.platforms import Platform, runnable
from minirun.image.reference import parse as parse_tag
from minirun.image.reference import parse_reference

_DOCKER_INDEX, _OCI_INDEX = "manifest.json", "index.json"
_NAMES = ("io.containerd.image.name", "org.opencontainers.image.ref.name")
_DEEPEST_INDEX = 4


@dataclass(frozen=True)
class ArchivedImage:
    """An image in an archive: the paths of its files, and the tags that it is to have."""

    config: str
    layers: tuple[str, ...]
    tags: tuple[str, ...]


def images_in(archive: ImageArchive, platform: Platform) -> list[ArchivedImage]:
    """Return the images of an archive; of those for several platforms, the one for `platform`. MinirunError if none."""
    if _DOCKER_INDEX in archive:
        return _docker_entries(archive)
    if _OCI_INDEX in archive:
        return _oci_entries(archive, platform)
    raise archive.error(f"it has neither {_DOCKER_INDEX} nor {_OCI_INDEX}")


def _docker_entries(archive: ImageArchive) -> list[ArchivedImage]:
    try:
        return [
            ArchivedImage(
                _string(entry["Config"]),
                tuple(_string(path) for path in entry["Layers"] or ()),
                tuple(parse_tag(_string(tag)) for tag in entry.get("RepoTags") or ()),
            )
            for entry in archive.read_json(_DOCKER_INDEX)
        ]
    except (TypeError, KeyError, AttributeError) as error:
        raise archive.error(f"its {_DOCKER_INDEX} lacks something: {error!r}") from None


def _oci_entries(archive: ImageArchive, platform: Platform) -> list[ArchivedImage]:
    index = _read(archive, Descriptor(OCI_INDEX, "", 0), _OCI_INDEX)
    if not isinstance(index, ImageIndex):
        raise archive.error(f"its {_OCI_INDEX} is no index")
    entries: dict[str, ArchivedImage] = {}
    for descriptor in index.entries:
        if descriptor.is_attestation or (descriptor.platform and descriptor.platform not in runnable(platform)):
            continue
        manifest_path, manifest = _choose(archive, descriptor, platform, _DEEPEST_INDEX)
        tags = (*entries[manifest_path].tags, *_tags(descriptor)) if manifest_path in entries else _tags(descriptor)
        paths = tuple(_path(layer) for layer in manifest.layers)
        entries[manifest_path] = ArchivedImage(_path(manifest.config), paths, tuple(dict.fromkeys(tags)))
    if not entries:
        offered = ", ".join(index.platforms) or "none"
        raise MinirunError(f"no image for {platform} in the archive; it has: {offered}", "choose one with --platform")
    return list(entries.values())


def _choose(archive: ImageArchive, descriptor: Descriptor, platform: Platform, depth: int) -> tuple[str, ImageManifest]:
    document = _read(archive, descriptor, _path(descriptor))
    if isinstance(document, ImageManifest):
        return _path(descriptor), document
    chosen = next(iter(document.chosen(platform)), None)
    if chosen is None or not depth:
        offered = ", ".join(document.platforms) or "none"
        raise MinirunError(f"no image for {platform} in the archive; it has: {offered}", "choose one with --platform")
    return _choose(archive, chosen, platform, depth - 1)


def _read(archive: ImageArchive, descriptor: Descriptor, path: str) -> ImageManifest | ImageIndex:
    raw = archive.read(path)
    return parse_manifest(Manifest(media_type_of(descriptor.media_type, raw), descriptor.digest, raw), path)


def _path(descriptor: Descriptor) -> str:
    return "blobs/" + descriptor.digest.replace(":", "/")


def _tags(descriptor: Descriptor) -> tuple[str, ...]:
    """The tag of an entry: skopeo's ref.name is one without a name or a whole one, containerd has both."""
    for key in _NAMES:
        name = descriptor.annotations.get(key, "")
        if ":" in name or "/" in name:
            return (parse_reference(name).tagged().familiar,)
    return ()


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value
