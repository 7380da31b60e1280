"""Images on record: what the tables `images` and `tags` say. Layers are the base first, as in Docker's RootFS.

A start reads one row of these by its key, so nothing is imported or made here that it does not need.
"""

import json
import sqlite3
from dataclasses import dataclass
from typing import Any, TypedDict

from minirun.instance import Instance
from minirun.model import Container
from minirun.store import Store


class Config(TypedDict, total=False):
    """What an image says of the containers that are made from it, in Docker's field names; unsaid is left out."""

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


class Details(TypedDict, total=False):
    config: Config
    architecture: str
    parent: str  # the id of the image whose container was committed
    author: str
    comment: str
    history: list[dict[str, Any]]  # of each layer: created, created_by, comment, size
    removed: bool  # by force, while a stopped container still needs its layers: nobody is shown it


@dataclass(frozen=True, eq=False, repr=False)
class Image:
    id: str
    details: Details
    layers: tuple[tuple[str, str], ...]  # name of the directory, digest
    created: float
    size: int

    @property
    def config(self) -> Config:
        return self.details.get("config", {})

    @property
    def lower(self) -> str:
        """For the overlay: the topmost first, relative to the state root."""
        return ":".join(f"layers/{name}" for name, _ in reversed(self.layers))


def tagged(store: Store, reference: str) -> Image | None:
    """`reference` is whole: busybox:latest."""
    row = store.db.execute(
        "select images.* from tags join images on images.id = tags.image where reference = ?", (reference,)
    ).fetchone()
    return row and _image(row)


def by_id(store: Store, image_id: str) -> Image | None:
    """Also one that is removed, and kept for its containers."""
    row = store.db.execute("select * from images where id = ?", (image_id,)).fetchone()
    return row and _image(row)


def by_prefix(store: Store, prefix: str) -> list[Image]:
    """`prefix` is hexadecimal, and so no pattern."""
    rows = store.db.execute("select * from images where id like ?", (prefix + "%",))
    return [one for one in map(_image, rows) if not one.details.get("removed")]


def all_images(store: Store, removed: bool = False) -> list[Image]:
    """The newest first."""
    rows = store.db.execute("select * from images order by created desc")
    return [one for one in map(_image, rows) if removed or not one.details.get("removed")]


def tags(store: Store) -> dict[str, list[str]]:
    """References by image."""
    found: dict[str, list[str]] = {}
    for row in store.db.execute("select reference, image from tags order by reference"):
        found.setdefault(row["image"], []).append(row["reference"])
    return found


def children(store: Store, image_id: str) -> list[Image]:
    return [one for one in all_images(store) if one.details.get("parent") == image_id]


def is_there(store: Store, image_id: str) -> bool:
    """Whether a container may still be made from it: asked in the transaction that makes one."""
    found = by_id(store, image_id)
    return found is not None and not found.details.get("removed")


def add(store: Store, image: Image) -> None:
    """In the caller's transaction, as all that follows."""
    store.db.execute(
        "insert or replace into images (id, config, layers, created, size) values (?, ?, ?, ?, ?)",
        (image.id, json.dumps(image.details), json.dumps(image.layers), image.created, image.size),
    )


def tag(store: Store, reference: str, image_id: str) -> None:
    """A reference that another image has moves to this one."""
    store.db.execute("insert or replace into tags (reference, image) values (?, ?)", (reference, image_id))


def untag(store: Store, reference: str) -> None:
    store.db.execute("delete from tags where reference = ?", (reference,))


def delete(store: Store, image_id: str) -> None:
    store.db.execute("delete from images where id = ?", (image_id,))


def layers_in_use(store: Store) -> set[str]:
    """Names of directories."""
    return {name for one in all_images(store, removed=True) for name, _ in one.layers}


def image_size(instance: Instance, container: Container) -> int:
    """Return the size in bytes of the image that a container was made from; 0 if it is gone."""
    image = by_id(instance.store, container.spec.image_id)
    return image.size if image else 0


def _image(row: sqlite3.Row) -> Image:
    layers = tuple((name, digest) for name, digest in json.loads(row["layers"]))
    return Image(row["id"], json.loads(row["config"]), layers, row["created"], row["size"])
