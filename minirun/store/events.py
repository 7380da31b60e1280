"""What became of containers, networks and volumes, in order."""

import json
import sqlite3
import time
from dataclasses import dataclass


@dataclass(frozen=True, eq=False, repr=False)
class Event:
    """What became of a container, network or volume."""

    number: int
    time: float
    kind: str  # container, network, volume
    action: str
    actor: str  # its id
    attributes: dict[str, str]


class Events:
    db: sqlite3.Connection

    def add_event(self, kind: str, action: str, actor: str, attributes: dict[str, str]) -> None:
        """In the transaction of what it tells of, if there is one. The last 10 000 are kept."""
        self.db.execute(
            "insert into events (time, type, action, actor, attributes) values (?, ?, ?, ?, ?)",
            (time.time(), kind, action, actor, json.dumps(attributes)),
        )

    def events(self, after: int) -> list[Event]:
        """All that came after the event of that number, in order."""
        rows = self.db.execute("select * from events where id > ? order by id", (after,))
        return [
            Event(row["id"], row["time"], row["type"], row["action"], row["actor"], json.loads(row["attributes"]))
            for row in rows
        ]

    def last_event(self) -> int:
        return int(self.db.execute("select coalesce(max(id), 0) from events").fetchone()[0])
