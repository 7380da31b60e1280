"""The records of faults on cables and in names (`minirun fault`)."""

import json
import sqlite3
from typing import Any

from minirun.kernel import processes
from minirun.model import Fault, FaultKind, FaultState, Process

_CONFIG = ("direction", "percent", "delay", "jitter", "rate", "ports", "name", "answers", "failure")


class NetworkFaults:
    """Queries of faults. Changes run in the caller's transaction; see `Store.write`."""

    db: sqlite3.Connection

    def has_faults(self) -> bool:
        """Return whether there is any fault: all else costs a host without faults this one query."""
        return self.db.execute("select 1 from faults limit 1").fetchone() is not None

    def faults(self) -> list[Fault]:
        """Return all faults, the oldest first."""
        return [_fault(row) for row in self.db.execute("select * from faults order by created, id")]

    def faults_in_force(self) -> list[Fault]:
        """Return the faults that the kernel is to have: all but those that are being healed."""
        return [fault for fault in self.faults() if fault.state is not FaultState.HEALING]

    def unfinished_faults(self) -> list[Fault]:
        """Return the faults that a command is adding or healing, or was when it was killed."""
        return [_fault(row) for row in self.db.execute("select * from faults where state != 'active'")]

    def find_faults(self, reference: str) -> list[Fault]:
        """Return the fault with that id, else all whose id starts with `reference`."""
        faults = self.faults()
        exact = [fault for fault in faults if fault.id == reference]
        return exact or [fault for fault in faults if reference and fault.id.startswith(reference)]

    def fault(self, fault_id: str) -> Fault | None:
        """Return the fault with an id."""
        row = self.db.execute("select * from faults where id = ?", (fault_id,)).fetchone()
        return row and _fault(row)

    def add_fault(self, fault: Fault, command: Process) -> None:
        """Record a fault that the process `command` adds."""
        self.db.execute(
            "insert into faults (id, kind, network, container, peer, created, state, pid, started, boot, config)"
            " values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                fault.id,
                str(fault.kind),
                fault.network,
                fault.container,
                fault.peer,
                fault.created,
                str(fault.state),
                command.pid,
                command.started,
                processes.boot_id(),
                json.dumps({name: getattr(fault, name) for name in _CONFIG}),
            ),
        )

    def set_fault_state(self, fault_id: str, state: FaultState) -> None:
        """Record how far a fault is."""
        self.db.execute("update faults set state = ? where id = ?", (str(state), fault_id))

    def delete_fault(self, fault_id: str) -> None:
        """Delete the record."""
        self.db.execute("delete from faults where id = ?", (fault_id,))


def _fault(row: sqlite3.Row) -> Fault:
    config: dict[str, Any] = json.loads(row["config"])
    config["ports"] = tuple((port, protocol) for port, protocol in config["ports"])
    config["answers"] = tuple(config["answers"])
    return Fault(
        id=row["id"],
        kind=FaultKind(row["kind"]),
        network=row["network"],
        container=row["container"],
        peer=row["peer"],
        created=row["created"],
        state=FaultState(row["state"]),
        command=Process(row["pid"], row["started"]),
        boot=row["boot"],
        **config,
    )
