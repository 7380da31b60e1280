"""The table of volumes, and who uses them: any container on record, running or not."""

import json
import sqlite3
import time
from dataclasses import dataclass, field

from minirun.model import Container, Mount
from minirun.store import Store


@dataclass(frozen=True)
class Volume:
    name: str
    created: float = field(default_factory=time.time)
    labels: dict[str, str] = field(default_factory=dict)
    options: dict[str, str] = field(default_factory=dict)
    anonymous: bool = False

    @property
    def device(self) -> str:
        """The directory of the host's that it stands for; "" for one of our own."""
        return self.options.get("device", "")

    @property
    def read_only(self) -> bool:
        return "ro" in self.options.get("o", "").split(",")


def volumes(store: Store) -> list[Volume]:
    return [_volume(row) for row in store.db.execute("select * from volumes order by name")]


def find_volume(store: Store, name: str) -> Volume | None:
    row = store.db.execute("select * from volumes where name = ?", (name,)).fetchone()
    return row and _volume(row)


def add_volume(store: Store, volume: Volume) -> bool:
    """With its event, in the caller's transaction. False when there is one of that name."""
    added = store.db.execute(
        "insert or ignore into volumes (name, created, labels, options, anonymous) values (?, ?, ?, ?, ?)",
        (volume.name, volume.created, json.dumps(volume.labels), json.dumps(volume.options), int(volume.anonymous)),
    )
    if added.rowcount == 1:
        tell_volume(store, volume.name, "create")
    return added.rowcount == 1


def delete_volume(store: Store, name: str) -> None:
    store.db.execute("delete from volumes where name = ?", (name,))
    tell_volume(store, name, "destroy")


def tell_volume(store: Store, name: str, action: str, **attributes: str) -> None:
    store.add_event("volume", action, name, {"driver": "local", **attributes})


def volume_mounts(container: Container) -> list[Mount]:
    return [mount for mount in container.spec.mounts if mount.kind == "volume"]


def users(store: Store) -> dict[str, list[str]]:
    """The ids of the containers that have a volume, by its name."""
    found: dict[str, list[str]] = {}
    for container in store.containers():
        for name in {mount.source for mount in volume_mounts(container)}:
            found.setdefault(name, []).append(container.id)
    return found


def _volume(row: sqlite3.Row) -> Volume:
    return Volume(
        row["name"], row["created"], json.loads(row["labels"]), json.loads(row["options"]), bool(row["anonymous"])
    )
