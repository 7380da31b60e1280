"""The records of volumes, and which containers use them: those on record, running or not."""

import json
import sqlite3
import time
from dataclasses import dataclass, field

from minirun.model import Container, Mount
from minirun.store import Store


@dataclass(frozen=True)
class Volume:
    """The record of a volume."""

    name: str
    created: float = field(default_factory=time.time)  # seconds since the epoch
    labels: dict[str, str] = field(default_factory=dict)
    options: dict[str, str] = field(default_factory=dict)
    anonymous: bool = False  # removed with its container

    @property
    def device(self) -> str:
        """The host directory that it stands for (--opt o=bind); "" if it has a directory of its own."""
        return "" if self.filesystem else self.options.get("device", "")

    @property
    def filesystem(self) -> str:
        """The type of the file system that is mounted on its directory while it is used; "" for none."""
        return "" if {"bind", "rbind"} & set(self.options.get("o", "").split(",")) else self.options.get("type", "")

    @property
    def read_only(self) -> bool:
        """Whether it is always mounted read-only: --opt o=ro."""
        return "ro" in self.options.get("o", "").split(",")

    @property
    def is_ephemeral(self) -> bool:
        """Whether its files are gone when the last container that uses it ends."""
        return self.filesystem in ("tmpfs", "ramfs")


def volumes(store: Store) -> list[Volume]:
    """Return all volumes, by name."""
    return [_volume(row) for row in store.db.execute("select * from volumes order by name")]


def find_volume(store: Store, name: str) -> Volume | None:
    """Return the volume with that name."""
    row = store.db.execute("select * from volumes where name = ?", (name,)).fetchone()
    return row and _volume(row)


def add_volume(store: Store, volume: Volume) -> bool:
    """Record a volume and its event, in the caller's transaction. Return False if the name is in use."""
    added = store.db.execute(
        "insert or ignore into volumes (name, created, labels, options, anonymous) values (?, ?, ?, ?, ?)",
        (volume.name, volume.created, json.dumps(volume.labels), json.dumps(volume.options), int(volume.anonymous)),
    )
    if added.rowcount == 1:
        add_volume_event(store, volume.name, "create")
    return added.rowcount == 1


def delete_volume(store: Store, name: str) -> None:
    """Delete the record and add an event, in the caller's transaction."""
    store.db.execute("delete from volumes where name = ?", (name,))
    add_volume_event(store, name, "destroy")


def add_volume_event(store: Store, name: str, action: str, **attributes: str) -> None:
    """Add an event of a volume."""
    store.add_event("volume", action, name, {"driver": "local", **attributes})


def volume_mounts(container: Container) -> list[Mount]:
    """Return a container's mounts that are volumes."""
    return [mount for mount in container.spec.mounts if mount.kind == "volume"]


def users(store: Store) -> dict[str, list[str]]:
    """Return the ids of the containers that use each volume: {volume name: container ids}."""
    container_ids: dict[str, list[str]] = {}
    for container in store.containers():
        for name in {mount.source for mount in volume_mounts(container)}:
            container_ids.setdefault(name, []).append(container.id)
    return container_ids


def _volume(row: sqlite3.Row) -> Volume:
    return Volume(
        row["name"], row["created"], json.loads(row["labels"]), json.loads(row["options"]), bool(row["anonymous"])
    )
