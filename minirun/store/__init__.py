"""The record of what should exist: one SQLite database in the state root.

The schema forbids mistakes: names of containers, addresses in a network and ports on a host address are unique because
the tables say so, and every allocation is one transaction. Every room above calls it; it calls only the model and the
kernel's queries of locks and processes.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from minirun.errors import MinirunError
from minirun.store.activity import Activity, Event
from minirun.store.containers import Containers
from minirun.store.firewall import Firewall
from minirun.store.lookup import Naming
from minirun.store.network_faults import NetworkFaults
from minirun.store.networks import Networks
from minirun.store.owners import Owners
from minirun.store.schema import VERSION, upgrade

__all__ = ["BUSY_SECONDS", "DATABASE", "UNTOUCHED", "VERSION", "Event", "Store", "make_private"]

BUSY_SECONDS = 10
DATABASE = "state.db"
UNTOUCHED = "nothing was changed: replace it with a backup, or use another --root"
# An unusable database is not closed: closing would write its log into it.
_left_open: list[sqlite3.Connection] = []


class Store(Activity, Containers, Naming, Networks, NetworkFaults, Owners, Firewall):
    """The open database of a state root. Use `write` around anything that must happen whole or not at all.

    MinirunError when the database is lost or was written by a newer minirun; sqlite3.Error when it cannot be used.
    """

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
        """Close the database."""
        self.db.close()

    @contextmanager
    def write(self) -> Iterator[None]:
        """Run the block as one transaction, which excludes other writers from its start: what it reads stays true."""
        self.db.execute("begin immediate")
        try:
            yield
            self.db.execute("commit")
        except BaseException:
            if self.db.in_transaction:  # not on a full disk: SQLite has rolled back already
                self.db.execute("rollback")
            raise

    @contextmanager
    def read(self) -> Iterator[None]:
        """Run the block on one state of the database: what others write meanwhile is not seen.

        Many queries take half of the time: SQLite takes and releases its locks once.
        """
        self.db.execute("begin")
        try:
            yield
        finally:
            self.db.execute("rollback")

    def _prepare(self) -> None:
        version = self.db.execute("pragma user_version").fetchone()[0]
        if not version:
            self._refuse_lost()
        if version < VERSION:
            os.chmod(self.root / DATABASE, 0o600)  # SQLite gives its log files the same mode
            self.db.execute("pragma journal_mode=wal")
            with self.write():
                version = self.db.execute("pragma user_version").fetchone()[0]
                upgrade(self.db, version)
        elif version > VERSION:
            raise MinirunError(
                f"the state in {self.root} was written by another version of minirun (format {version}, this one"
                f" reads {VERSION})",
                "use the newer minirun, or another --root; nothing was changed",  # see _left_open
            )
        self.db.execute("pragma synchronous=normal")

    def _refuse_lost(self) -> None:
        """Refuse to start with an empty database when there are containers: it was lost, not newly made."""
        containers = self.root / "containers"
        if containers.is_dir() and any(containers.iterdir()):
            raise MinirunError(
                f"the state database {self.root / DATABASE} is empty, but {containers} is not", UNTOUCHED
            )


def make_private(root: Path) -> None:
    """Make the state root accessible to root only: container trees hold setuid programs (CVE-2021-41091)."""
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    if root.stat().st_mode & 0o077:
        os.chmod(root, 0o700)
