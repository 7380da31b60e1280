"""The record of what should exist: one SQLite database below the state root.

The schema forbids mistakes: a name among containers, an address in its network, a port on its host address are
unique because the tables say so. Every allocation is one transaction.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from minirun.errors import MinirunError
from minirun.store.activity import Activity
from minirun.store.containers import Containers
from minirun.store.events import Event, Events
from minirun.store.foreign_places import Places
from minirun.store.naming import Naming
from minirun.store.networks import Networks
from minirun.store.schema import VERSION, upgrade

__all__ = ["BUSY_SECONDS", "DATABASE", "UNTOUCHED", "VERSION", "Event", "Store", "make_private"]

BUSY_SECONDS = 10
DATABASE = "state.db"
UNTOUCHED = "nothing was touched: put a copy of it in its place, or use another --root"
# What cannot be used is not closed either: closing would write what is in its log into it.
_left_open: list[sqlite3.Connection] = []


class Store(Activity, Containers, Events, Naming, Networks, Places):
    """An open database. Use `write` around anything that must happen whole."""

    def __init__(self, root: Path) -> None:
        self.root = root
        make_private(root)
        self.db = sqlite3.connect(root / DATABASE, timeout=BUSY_SECONDS, isolation_level=None)
        self.db.row_factory = sqlite3.Row
        try:
            self._prepare()
        except (sqlite3.Error, MinirunError):
            _left_open.append(self.db)
            raise

    def close(self) -> None:
        self.db.close()

    @contextmanager
    def write(self) -> Iterator[None]:
        """One transaction that excludes other writers from its start, so that what it reads stays true."""
        self.db.execute("begin immediate")
        try:
            yield
            self.db.execute("commit")
        except BaseException:
            if self.db.in_transaction:  # on a full disk SQLite has rolled back already
                self.db.execute("rollback")
            raise

    def _prepare(self) -> None:
        version = self.db.execute("pragma user_version").fetchone()[0]
        if not version:
            self._refuse_lost()
        if version < VERSION:
            os.chmod(self.root / DATABASE, 0o600)  # what SQLite puts beside it has the same mode
            self.db.execute("pragma journal_mode=wal")
            with self.write():
                version = self.db.execute("pragma user_version").fetchone()[0]
                upgrade(self.db, version)
        elif version > VERSION:
            raise MinirunError(
                f"the state in {self.root} was written by another version of minirun (format {version}, this one"
                f" reads {VERSION})",
                "use the newer minirun, or another --root; nothing was touched",  # see _left_open
            )
        self.db.execute("pragma synchronous=normal")

    def _refuse_lost(self) -> None:
        """A new database comes before the first container: when there are some, it is not new but was lost."""
        containers = self.root / "containers"
        if containers.is_dir() and any(containers.iterdir()):
            raise MinirunError(
                f"the state database {self.root / DATABASE} is empty, but {containers} is not", UNTOUCHED
            )


def make_private(root: Path) -> None:
    """The state root is root's alone: container trees hold setuid programs (CVE-2021-41091)."""
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    if root.stat().st_mode & 0o077:
        os.chmod(root, 0o700)
