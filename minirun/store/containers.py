"""The records of containers."""

import json
import sqlite3
from functools import lru_cache

from minirun.errors import ConflictError
from minirun.model import Container, Process, Spec, Status
from minirun.store.references import rows_meant_by

_STARTABLE = "status in ('created', 'exited') and monitor_pid is null"


class Containers:
    """Queries of containers. Changes run in the caller's transaction; see `Store.write`."""

    db: sqlite3.Connection

    def containers(self) -> list[Container]:
        """Return all containers, the newest first."""
        return [_container(row) for row in self.db.execute("select * from containers order by created desc")]

    def container(self, container_id: str) -> Container | None:
        """Return the container with an id."""
        row = self.db.execute("select * from containers where id = ?", (container_id,)).fetchone()
        return row and _container(row)

    def find_containers(self, reference: str) -> list[Container]:
        """Return the container with that id, else with that name, else all whose id starts with `reference`."""
        return [_container(row) for row in rows_meant_by(self.db, "containers", reference)]

    def check_name_free(self, name: str) -> None:
        """ConflictError if a container has that name. The schema keeps names unique; this is for the message."""
        holder = self.db.execute("select id from containers where name = ?", (name,)).fetchone()
        if holder:
            raise ConflictError(
                f'Conflict. The container name "/{name}" is already in use by container "{holder[0]}".'
                " You have to remove (or rename) that container to be able to reuse that name."
            )

    def add_container(self, container: Container) -> None:
        """Record a new container. ConflictError if its name is in use."""
        self.check_name_free(container.name)
        self.db.execute(
            "insert into containers (id, name, spec, created, ids) values (?, ?, ?, ?, ?)",
            (
                container.id,
                container.name,
                json.dumps(container.spec.to_dict()),
                container.created,
                ":".join(map(str, container.ids)),
            ),
        )

    def id_ranges(self) -> list[tuple[int, int]]:
        """Return (first host id, count) of each container with a user namespace of its own."""
        rows = self.db.execute("select ids from containers where ids != ''")
        return [(first, count) for first, count in map(_numbers, (row[0] for row in rows))]

    def move_status(self, container_id: str, sources: tuple[Status, ...], to: Status) -> bool:
        """Change the status from one of `sources`. Return False if another process changed it first."""
        marks = ",".join("?" * len(sources))
        changed = self.db.execute(
            f"update containers set status = ? where id = ? and status in ({marks})",
            (to, container_id, *sources),
        )
        return changed.rowcount == 1

    def set_starting(self, container_id: str, command: Process, shim: Process, boot: str) -> bool:
        """Claim a stopped container for a start.

        Return False if it is not stopped any more, or its last run has not been cleaned up.
        """
        changed = self.db.execute(
            "update containers set status = 'starting', command_pid = ?, command_started = ?,"
            " monitor_pid = ?, monitor_started = ?, boot = ?, init_pid = null, init_started = null,"
            " exit_code = 0, error = '', paused = 0, restarts = 0, stop_requested = 0,"
            " health = '', oom_killed = 0"
            f" where id = ? and {_STARTABLE}",
            (command.pid, command.started, shim.pid, shim.started, boot, container_id),
        )
        return changed.rowcount == 1

    def is_startable(self, container_id: str) -> bool:
        """Return whether `set_starting` would succeed."""
        row = self.db.execute(f"select 1 from containers where id = ? and {_STARTABLE}", (container_id,)).fetchone()
        return row is not None

    def set_running(self, container_id: str, init: Process, now: float) -> None:
        """Record that the container runs."""
        self.db.execute(
            "update containers set status = 'running', init_pid = ?, init_started = ?, started_at = ?, paused = 0"
            " where id = ?",
            (init.pid, init.started, now, container_id),
        )

    def set_restarting(self, container_id: str, code: int, now: float, error: str) -> bool:
        """Record that it exited and will restart. Return False if a user asked it to stop meanwhile."""
        changed = self.db.execute(
            "update containers set status = 'restarting', exit_code = ?, finished_at = ?, error = ?,"
            " restarts = restarts + 1, init_pid = null, init_started = null, paused = 0"
            " where id = ? and status in ('starting', 'running', 'restarting') and stop_requested = 0",
            (code, now, error, container_id),
        )
        return changed.rowcount == 1

    def set_exited(self, container_id: str, code: int, now: float, error: str) -> bool:
        """Record how it exited. Return False if that was recorded already: the first report is right."""
        changed = self.db.execute(
            "update containers set status = 'exited', exit_code = ?, finished_at = ?, error = ?, paused = 0"
            " where id = ? and status in ('starting', 'running', 'restarting', 'created')",
            (code, now, error, container_id),
        )
        return changed.rowcount == 1

    def set_values(self, container_id: str, **values: "int | str | float") -> None:
        """Set columns that no state machine guards.

        paused, stop_requested, health, oom_killed, name, held, sandbox, second_pin, started_at
        """
        names = ", ".join(f"{name} = ?" for name in values)
        self.db.execute(f"update containers set {names} where id = ?", (*values.values(), container_id))

    def set_spec(self, container_id: str, spec: Spec) -> None:
        """Replace the spec, after `update`."""
        self.db.execute("update containers set spec = ? where id = ?", (json.dumps(spec.to_dict()), container_id))

    def held(self, container_id: str) -> dict[str, str]:
        """Return the addresses and ports of the last start, which the next one requests: {"network id": "address"}."""
        row = self.db.execute("select held from containers where id = ?", (container_id,)).fetchone()
        return json.loads(row[0]) if row else {}

    def forget_processes(self, container_id: str) -> None:
        """Record that the last run has been cleaned up: no processes, no sandbox."""
        self.db.execute(
            "update containers set monitor_pid = null, init_pid = null, sandbox = '' where id = ?",
            (container_id,),
        )

    def delete_container(self, container_id: str) -> None:
        """Delete the record."""
        self.db.execute("delete from containers where id = ?", (container_id,))

    def members(self, sandbox: str) -> list[Container]:
        """Return the containers whose processes are in a sandbox, or will be."""
        rows = self.db.execute(
            "select * from containers where sandbox = ? and sandbox != ''"
            " and status in ('starting', 'running', 'restarting')",
            (sandbox,),
        )
        return [_container(row) for row in rows]


def _process(pid: int | None, started: int | None) -> Process | None:
    return None if pid is None or started is None else Process(pid, started)


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split(":"))) if text else ()


@lru_cache(maxsize=1024)
def _spec(text: str) -> Spec:
    """Cached for what asks again and again: a list of containers takes half the time then."""
    return Spec.from_dict(json.loads(text))


def _container(row: sqlite3.Row) -> Container:
    return Container(
        id=row["id"],
        name=row["name"],
        spec=_spec(row["spec"]),
        created=row["created"],
        status=Status(row["status"]),
        sandbox=row["sandbox"],
        command=_process(row["command_pid"], row["command_started"]),
        shim=_process(row["monitor_pid"], row["monitor_started"]),
        init=_process(row["init_pid"], row["init_started"]),
        started_at=row["started_at"],
        finished_at=row["finished_at"],
        exit_code=row["exit_code"],
        error=row["error"],
        paused=bool(row["paused"]),
        restarts=row["restarts"],
        stop_requested=bool(row["stop_requested"]),
        second_pin=row["second_pin"],
        health=row["health"],
        oom_killed=bool(row["oom_killed"]),
        ids=_numbers(row["ids"]),
    )
