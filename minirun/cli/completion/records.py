"""Names on record, read beside whoever is writing them: no lock is waited for, and nothing is written."""

import os
import sqlite3
from collections.abc import Iterable
from pathlib import Path

from minirun.model import ACTIVE, Status

_PATIENCE = 0.2  # seconds
STATES: dict[str, tuple[Status, ...]] = {
    "containers": tuple(Status),
    "running": ACTIVE,
    "paused": ACTIVE,
    "stopped": (Status.CREATED, Status.EXITED),
}


class Records:
    """What one state root holds. It need not exist."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def containers(self, kind: str = "containers") -> list[str]:
        """`kind`: containers (all), running, paused or stopped. The newest first."""
        marks = ",".join("?" * len(STATES[kind]))
        paused = " and paused" if kind == "paused" else ""
        query = f"select name from containers where status in ({marks}){paused} order by created desc"
        return self._names(query, STATES[kind])

    def networks(self) -> list[str]:
        """Names of networks, sorted."""
        return self._names("select name from networks order by name")

    def faults(self) -> list[str]:
        """Ids of faults, the oldest first."""
        return self._names("select id from faults order by created")

    def volumes(self) -> list[str]:
        """Names of volumes, the named ones first."""
        return self._names("select name from volumes order by anonymous, name")

    def images(self) -> list[str]:
        """Tags, and trees that have a name; busybox is built when it is first used."""
        tags = self._names("select reference from tags order by reference")
        try:
            trees = [one.name for one in os.scandir(self.root / "images") if os.path.isdir(f"{one.path}/rootfs")]
        except OSError:
            trees = []
        return list(dict.fromkeys([*(tag.removesuffix(":latest") for tag in tags), *sorted(trees), "busybox"]))

    def _names(self, query: str, values: Iterable[str] = ()) -> list[str]:
        """None when there is no database, or one of another format, or one that may not be read."""
        path = str(self.root / "state.db").replace("%", "%25").replace("?", "%3f").replace("#", "%23")
        try:
            # Without a -wal file nobody has it open, and reading would make one: immutable makes none.
            immutable = "" if (self.root / "state.db-wal").exists() else "&immutable=1"
            database = sqlite3.connect(f"file:{path}?mode=ro{immutable}", uri=True, timeout=_PATIENCE)
            try:
                return [name for (name,) in database.execute(query, tuple(values)) if name.isprintable()]
            finally:
                database.close()
        except sqlite3.Error:
            return []
