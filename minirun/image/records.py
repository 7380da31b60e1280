"""The records of images: the tables `images`, `layers`, `image_layers` and `tags`.

The layers of an image are in Docker's order, the base first. Functions that write run in the caller's transaction.
"""

import sqlite3
from collections.abc import Iterable
from dataclasses import astuple, dataclass
from functools import cached_property

from minirun.image.document import Config, Document, parse
from minirun.image.manifests import Manifest
from minirun.image.platforms import Platform, platform
from minirun.image.reference import digest_of
from minirun.instance import Instance
from minirun.model import Container
from minirun.store import Store


@dataclass(frozen=True)
class Layer:
    """An unpacked layer.

    diff_id: the digest of its uncompressed tar archive, as 64 hexadecimal digits
    directory: its name in layers/
    size: bytes of all files
    tar_size: bytes of the archive, 0 if unknown
    """

    diff_id: str
    directory: str
    size: int
    tar_size: int = 0


@dataclass(frozen=True)
class Blob:
    """A compressed layer, as it was transferred.

    digest: of the file's content, 64 hexadecimal digits
    diff_id: the digest of the uncompressed archive
    size: bytes of the file
    file: its name in blobs/
    compression: gzip, zstd, or "" for none
    """

    digest: str
    diff_id: str
    size: int
    file: str
    compression: str


@dataclass(frozen=True, eq=False, repr=False)
class Image:
    """The record of an image.

    id: 64 hexadecimal digits, the digest of its configuration document
    text: the document
    parent: the id of the image that it was made from on this host, or ""
    is_removed: removed by force, while a stopped container still needs its layers; hidden from users
    """

    id: str
    text: str
    layers: tuple[Layer, ...]
    parent: str = ""
    is_removed: bool = False

    @cached_property
    def document(self) -> Document:
        """Its configuration document."""
        return parse(self.text)

    @property
    def config(self) -> Config:
        """The defaults of containers made from it."""
        return self.document.config

    @property
    def created(self) -> float:
        """Seconds since the epoch."""
        return self.document.created

    @property
    def platform(self) -> Platform:
        """What its programs are for."""
        return platform(self.document.os, self.document.architecture, self.document.variant)

    @property
    def size(self) -> int:
        """Bytes of all layers."""
        return sum(layer.size for layer in self.layers)

    @property
    def lower(self) -> str:
        """The layers for overlayfs: topmost first, relative to the state root.

        overlayfs refuses a directory twice. Of a layer that an image has twice, the upper one shows all of its names.
        """
        return ":".join(dict.fromkeys(f"layers/{layer.directory}" for layer in reversed(self.layers)))

    @property
    def step_sizes(self) -> list[int]:
        """The bytes that each step of the history has added."""
        sizes = iter(layer.size for layer in self.layers)
        return [next(sizes, 0) if step.has_layer else 0 for step in self.document.history]


def tagged(store: Store, reference: str) -> Image | None:
    """Return the image with a complete reference, such as busybox:latest."""
    rows = store.db.execute(
        "select images.* from tags join images on images.id = tags.image where reference = ?", (reference,)
    )
    return next(iter(_images(store, rows)), None)


def by_id(store: Store, image_id: str) -> Image | None:
    """Return the image with an id, even a removed one that is kept for its containers."""
    return next(iter(_images(store, store.db.execute("select * from images where id = ?", (image_id,)))), None)


def by_prefix(store: Store, prefix: str) -> list[Image]:
    """Return the images whose id starts with `prefix`, which must be hexadecimal."""
    return _images(store, store.db.execute("select * from images where id like ? and not removed", (prefix + "%",)))


def all_images(store: Store, removed: bool = False) -> list[Image]:
    """Return all images, the newest first; `removed`: also those kept for their containers only."""
    rows = store.db.execute("select * from images where not removed or ? order by created desc", (removed,))
    return _images(store, rows)


def tags(store: Store) -> dict[str, list[str]]:
    """Return the references of each image: {image id: references}."""
    references: dict[str, list[str]] = {}
    for row in store.db.execute("select reference, image from tags order by reference"):
        references.setdefault(row["image"], []).append(row["reference"])
    return references


def digests(store: Store) -> dict[str, list[str]]:
    """Return what registries call each image: {image id: [name@sha256:...]}."""
    found: dict[str, list[str]] = {}
    for row in store.db.execute("select * from repo_digests order by repository, digest"):
        found.setdefault(row["image"], []).append(f"{row['repository']}@{row['digest']}")
    return found


def by_digest(store: Store, repository: str, digest: str) -> Image | None:
    """Return the image that a registry calls repository@digest."""
    rows = store.db.execute(
        "select images.* from repo_digests join images on images.id = repo_digests.image"
        " where repository = ? and digest = ?",
        (repository, digest),
    )
    return next(iter(_images(store, rows)), None)


def add_digest(store: Store, repository: str, digest: str, image_id: str) -> None:
    """Record what a registry calls an image."""
    store.db.execute("insert or replace into repo_digests values (?, ?, ?)", (repository, digest, image_id))


def delete_digest(store: Store, repository: str, digest: str) -> None:
    """Forget what a registry calls an image."""
    store.db.execute("delete from repo_digests where repository = ? and digest = ?", (repository, digest))


def manifest_of(store: Store, image_id: str) -> Manifest | None:
    """Return the manifest by which an image was transferred last."""
    row = store.db.execute("select media_type, content from manifests where image = ?", (image_id,)).fetchone()
    return Manifest(row["media_type"], digest_of(row["content"].encode()), row["content"].encode()) if row else None


def set_manifest(store: Store, image_id: str, manifest: Manifest) -> None:
    """Record the manifest by which an image was transferred."""
    words = (image_id, manifest.media_type, manifest.raw.decode())
    store.db.execute("insert or replace into manifests values (?, ?, ?)", words)


def children(store: Store, image_id: str) -> list[Image]:
    """Return the images that were made from an image on this host."""
    rows = store.db.execute("select * from images where parent = ? and not removed", (image_id,))
    return _images(store, rows)


def is_there(store: Store, image_id: str) -> bool:
    """Return whether containers can be made from an image; asked in the transaction that records one.

    It exists and is not removed, or it stands for a snapshot in the build cache.
    """
    query = "select 1 from images where id = ? and (not removed or id in (select image from build_cache))"
    return store.db.execute(query, (image_id,)).fetchone() is not None


def layer(store: Store, diff_id: str) -> Layer | None:
    """Return the unpacked layer with this digest."""
    row = store.db.execute("select * from layers where diff_id = ?", (diff_id,)).fetchone()
    return Layer(*row) if row else None


def add(store: Store, document: Document, layers: Iterable[Layer], parent: str = "") -> Image:
    """Record an image and return it. An unpacked layer that another image has already is shared.

    If the image exists, even removed, it is there again, and what it was made from is kept.
    """
    store.db.execute(
        "insert into images (id, config, created, parent) values (?, ?, ?, ?) on conflict do update set removed = 0",
        (document.id, document.text, document.created, parent),
    )
    return _add_layers(store, document, layers)


def add_hidden(store: Store, document: Document, layers: Iterable[Layer]) -> Image:
    """Record an image that users do not see, for the build cache. One that they see stays visible."""
    store.db.execute(
        "insert or ignore into images (id, config, created, removed) values (?, ?, ?, 1)",
        (document.id, document.text, document.created),
    )
    return _add_layers(store, document, layers)


def _add_layers(store: Store, document: Document, layers: Iterable[Layer]) -> Image:
    for position, new in enumerate(layers):
        store.db.execute("insert or ignore into layers values (?, ?, ?, ?)", astuple(new))
        store.db.execute("insert or ignore into image_layers values (?, ?, ?)", (document.id, position, new.diff_id))
    image = by_id(store, document.id)
    assert image is not None
    return image


def removed_ids(store: Store) -> set[str]:
    """Return the ids of the images that are kept for their containers only."""
    query = "select id from images where removed and id not in (select image from build_cache)"
    return {row["id"] for row in store.db.execute(query)}


def set_removed(store: Store, image_id: str) -> None:
    """Hide an image from users, because a stopped container needs its layers."""
    store.db.execute("update images set removed = 1 where id = ?", (image_id,))


def tag(store: Store, reference: str, image_id: str) -> None:
    """Give an image a reference; another image that has it loses it."""
    store.db.execute("insert or replace into tags (reference, image) values (?, ?)", (reference, image_id))


def untag(store: Store, reference: str) -> None:
    """Delete a reference."""
    store.db.execute("delete from tags where reference = ?", (reference,))


def delete(store: Store, image_id: str) -> None:
    """Delete the record of an image, and those of the layers that no other image has."""
    store.db.execute("delete from image_layers where image = ?", (image_id,))
    store.db.execute("delete from layers where diff_id not in (select diff_id from image_layers)")
    store.db.execute("delete from blobs where diff_id not in (select diff_id from image_layers)")
    for table in ("manifests", "repo_digests"):
        store.db.execute(f"delete from {table} where image = ?", (image_id,))
    store.db.execute("delete from images where id = ?", (image_id,))


def layers_in_use(store: Store) -> set[str]:
    """Return the names of the directories that images need."""
    return {row["directory"] for row in store.db.execute("select directory from layers")}


def add_blob(store: Store, blob: Blob) -> None:
    """Record a compressed layer."""
    store.db.execute("insert or ignore into blobs values (?, ?, ?, ?, ?)", astuple(blob))


def blob_of(store: Store, diff_id: str) -> Blob | None:
    """Return a layer as it was transferred, of several forms always the same one, a compressed one if there is one."""
    rows = store.db.execute(
        "select * from blobs where diff_id = ? order by compression = '', digest limit 1", (diff_id,)
    )
    row = rows.fetchone()
    return Blob(*row) if row else None


def delete_plain_blob(store: Store, diff_id: str) -> None:
    """Forget the uncompressed form of a layer, unless the manifest of an image names it."""
    store.db.execute(
        "delete from blobs where diff_id = ? and compression = ''"
        " and not exists (select 1 from manifests where instr(content, 'sha256:' || digest))",
        (diff_id,),
    )


def blob(store: Store, digest: str) -> Blob | None:
    """Return the compressed layer with a digest."""
    row = store.db.execute("select * from blobs where digest = ?", (digest,)).fetchone()
    return Blob(*row) if row else None


def bytes_on_disk(store: Store) -> dict[str, int]:
    """Return what each layer takes, unpacked and compressed: {diff_id: bytes}."""
    rows = store.db.execute(
        "select diff_id, size + (select total(size) from blobs where blobs.diff_id = layers.diff_id) from layers"
    )
    return {diff_id: int(size) for diff_id, size in rows}


def blobs_in_use(store: Store) -> set[str]:
    """Return the names of the files of compressed layers that images need."""
    return {row["file"] for row in store.db.execute("select file from blobs")}


def image_size(instance: Instance, container: Container) -> int:
    """Return the size in bytes of the image that a container was made from; 0 if it is gone."""
    image = by_id(instance.store, container.spec.image_id)
    return image.size if image else 0


def _images(store: Store, rows: Iterable[sqlite3.Row]) -> list[Image]:
    return [
        Image(row["id"], row["config"], _layers_of(store, row["id"]), row["parent"], bool(row["removed"]))
        for row in rows
    ]


def _layers_of(store: Store, image_id: str) -> tuple[Layer, ...]:
    rows = store.db.execute(
        "select layers.* from image_layers join layers using (diff_id) where image = ? order by position",
        (image_id,),
    )
    return tuple(Layer(*row) for row in rows)
