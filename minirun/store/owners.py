"""Owners: processes on the host with which containers, networks, images and faults end (--owner-pid)."""

import sqlite3

from minirun.errors import MinirunError
from minirun.kernel import processes
from minirun.model import Process


class Owners:
    """Queries of owners. Each is told from a later process with its pid by start time and boot."""

    db: sqlite3.Connection

    def owners(self) -> list[tuple[Process, str]]:
        """Return each process that owns something, and the boot that it lived in."""
        rows = self.db.execute("select distinct pid, started, boot from owned").fetchall()
        return [(Process(pid, started), boot) for pid, started, boot in rows]

    def owned(self, owner: Process, boot: str) -> list[tuple[str, str]]:
        """Return (kind, id) of what a process owns; a kind is container, network, image or fault."""
        query = "select kind, id from owned where pid = ? and started = ? and boot = ?"
        return [tuple(row) for row in self.db.execute(query, (owner.pid, owner.started, boot))]

    def set_owner(self, kind: str, object_id: str, owner: Process) -> None:
        """Record the owner of a new container, network, image or fault, within the transaction that records it.

        So it comes either before the look of whoever removes what an ended owner leaves, or not at all. MinirunError
        when the owner has ended.
        """
        if processes.start_time(owner.pid) != owner.started:
            raise MinirunError(f"process {owner.pid}, which is to own the {kind}, has ended")
        values = (kind, object_id, owner.pid, owner.started, processes.boot_id())
        self.db.execute("insert into owned (kind, id, pid, started, boot) values (?, ?, ?, ?, ?)", values)

    def guard(self, owner: Process) -> Process | None:
        """Return the process that waits for the owner's end, if one was started in this boot."""
        query = "select guard_pid, guard_started from guards where pid = ? and started = ? and boot = ?"
        row = self.db.execute(query, (owner.pid, owner.started, processes.boot_id())).fetchone()
        return row and Process(*row)

    def set_guard(self, owner: Process, guard: Process) -> None:
        """Record the process that waits for the owner's end, and forget those of owners that own nothing."""
        self.db.execute("delete from guards where (pid, started, boot) not in (select pid, started, boot from owned)")
        values = (owner.pid, owner.started, processes.boot_id(), guard.pid, guard.started)
        self.db.execute("insert or replace into guards values (?, ?, ?, ?, ?)", values)
