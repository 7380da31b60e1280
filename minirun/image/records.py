"""The records of images: the tables `images` and `tags`.

The layers of an image are in Docker's order, the base first. Functions that write run in the caller's transaction.
"""

import json
import sqlite3
from dataclasses import dataclass
from typing import Any, TypedDict

from minirun.instance import Instance
from minirun.model import Container
from minirun.store import Store


class Config(TypedDict, total=False):
    """The defaults of containers made from an image, in Docker's field names. Fields without value are left out."""

    Env: list[str]
    Cmd: list[str]
    Entrypoint: list[str]
    WorkingDir: str
    User: str
    Labels: dict[str, str]
    ExposedPorts: dict[str, dict[str, str]]
    Volumes: dict[str, dict[str, str]]
    Healthcheck: dict[str, Any]
    StopSignal: str
    OnBuild: list[str]


class Details(TypedDict, total=False):
    """Everything else that an image's record holds, as JSON."""

    config: Config
    architecture: str
    parent: str  # the id of the image whose container was committed
    author: str
    comment: str
    history: list[dict[str, Any]]  # an entry per layer: created, created_by, comment, size
    removed: bool  # by force, while a stopped container still needs its layers; hidden from users


@dataclass(frozen=True, eq=False, repr=False)
class Image:
    """The record of an image."""

    id: str
    details: Details
    layers: tuple[tuple[str, str], ...]  # (name of the directory, digest of the content)
    created: float  # seconds since the epoch
    size: int  # bytes of all layers

    @property
    def config(self) -> Config:
        """The defaults of containers made from it."""
        return self.details.get("config", {})

    @property
    def lower(self) -> str:
        """The layers for overlayfs: topmost first, relative to the state root."""
        return ":".join(f"layers/{name}" for name, _ in reversed(self.layers))


def tagged(store: Store, reference: str) -> Image | None:
    """Return the image with a complete reference, such as busybox:latest."""
    row = store.db.execute(
        "select images.* from tags join images on images.id = tags.image where reference = ?", (reference,)
    ).fetchone()
    return row and _image(row)


def by_id(store: Store, image_id: str) -> Image | None:
    """Return the image with an id, even a removed one that is kept for its containers."""
    row = store.db.execute("select * from images where id = ?", (image_id,)).fetchone()
    return row and _image(row)


def by_prefix(store: Store, prefix: str) -> list[Image]:
    """Return the images whose id starts with `prefix`, which must be hexadecimal."""
    rows = store.db.execute("select * from images where id like ?", (prefix + "%",))
    return [image for image in map(_image, rows) if not image.details.get("removed")]


def all_images(store: Store, removed: bool = False) -> list[Image]:
    """Return all images, the newest first; `removed`: also those kept for their containers only."""
    rows = store.db.execute("select * from images order by created desc")
    return [image for image in map(_image, rows) if removed or not image.details.get("removed")]


def tags(store: Store) -> dict[str, list[str]]:
    """Return the references of each image: {image id: references}."""
    references: dict[str, list[str]] = {}
    for row in store.db.execute("select reference, image from tags order by reference"):
        references.setdefault(row["image"], []).append(row["reference"])
    return references


def children(store: Store, image_id: str) -> list[Image]:
    """Return the images that were committed from containers of an image."""
    return [image for image in all_images(store) if image.details.get("parent") == image_id]


def is_there(store: Store, image_id: str) -> bool:
    """Return whether an image exists and is not removed; asked in the transaction that records a container of it."""
    image = by_id(store, image_id)
    return image is not None and not image.details.get("removed")


def add(store: Store, image: Image) -> None:
    """Record an image, or replace its record."""
    store.db.execute(
        "insert or replace into images (id, config, layers, created, size) values (?, ?, ?, ?, ?)",
        (image.id, json.dumps(image.details), json.dumps(image.layers), image.created, image.size),
    )


def tag(store: Store, reference: str, image_id: str) -> None:
    """Give an image a reference; another image that has it loses it."""
    store.db.execute("insert or replace into tags (reference, image) values (?, ?)", (reference, image_id))


def untag(store: Store, reference: str) -> None:
    """Delete a reference."""
    store.db.execute("delete from tags where reference = ?", (reference,))


def delete(store: Store, image_id: str) -> None:
    """Delete the record of an image."""
    store.db.execute("delete from images where id = ?", (image_id,))


def layers_in_use(store: Store) -> set[str]:
    """Return the names of the directories that images need."""
    return {name for image in all_images(store, removed=True) for name, _ in image.layers}


def image_size(instance: Instance, container: Container) -> int:
    """Return the size in bytes of the image that a container was made from; 0 if it is gone."""
    image = by_id(instance.store, container.spec.image_id)
    return image.size if image else 0


def _image(row: sqlite3.Row) -> Image:
    layers = tuple((name, digest) for name, digest in json.loads(row["layers"]))
    return Image(row["id"], json.loads(row["config"]), layers, row["created"], row["size"])
