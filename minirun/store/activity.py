"""What every command reads, in few columns and by indexes because there may be a thousand containers; and events."""

import json
import sqlite3
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from minirun.model import DEFAULT_NETWORK, Process
from minirun.store.schema import UNFINISHED


class Run(NamedTuple):
    """The processes responsible for a container that has not completely ended, as plain columns."""

    id: str
    status: str
    boot: str
    command_pid: int | None
    command_started: int | None
    monitor_pid: int | None
    monitor_started: int | None

    @property
    def command(self) -> Process | None:
        """Return the command that started the container."""
        return _process(self.command_pid, self.command_started)

    @property
    def shim(self) -> Process | None:
        """Return the container's shim."""
        return _process(self.monitor_pid, self.monitor_started)


@dataclass(frozen=True, eq=False, repr=False)
class UsedNetwork:
    """A network that a running container is in. The gateways are those its bridge should have, "" for none."""

    id: str
    name: str
    driver: str
    bridge: str
    gateway: str
    gateway6: str


# Not a sandbox that a container is being started in: its start attaches the endpoints.
_SETTLED = (
    "with settled as (select sandbox from containers where sandbox != '' group by sandbox"
    " having max(status in ('running', 'restarting')) and not max(status = 'starting'))"
)


_RUNS = "select id, status, boot, command_pid, command_started, monitor_pid, monitor_started from containers"


@dataclass(frozen=True, eq=False, repr=False)
class Event:
    """What happened to a container, image, network or volume."""

    number: int
    time: float
    kind: str  # container, image, network, volume
    action: str
    actor: str  # its id
    attributes: dict[str, str]


class Activity:
    """Queries for what runs, and the table of events."""

    db: sqlite3.Connection

    def running(self, boot: str) -> list[tuple[str, int | None]]:
        """Return (container id, pid of the shim) of the containers that run since that boot."""
        query = "select id, monitor_pid from containers where status = 'running' and boot = ?"
        return self._plain(query, (boot,))

    def unsettled(self, boot: str) -> list[Run]:
        """Return the other containers that have not completely ended."""
        return [
            *map(Run._make, self._plain(f"{_RUNS} where status != 'running' and {UNFINISHED}")),
            *map(Run._make, self._plain(f"{_RUNS} where status = 'running' and boot != ?", (boot,))),
        ]

    def runs(self, ids: Iterable[str]) -> list[Run]:
        """Return the containers with these ids."""
        results = (self._plain(f"{_RUNS} where id = ?", (container_id,)) for container_id in ids)
        return [Run._make(row) for rows in results for row in rows]

    def settled_endpoints(self) -> list[tuple[str, int, str]]:
        """Return (sandbox, position, network id) of every endpoint that should be attached now."""
        return self._plain(
            f"{_SETTLED} select e.sandbox, e.position, e.network from settled cross join endpoints e using (sandbox)"
        )

    def used_networks(self, ids: Iterable[str]) -> list[UsedNetwork]:
        """Return the networks with these ids. SQLite reads the JSON: whole networks take Python 20 us each."""
        network_ids = list(ids)
        rows = self._plain(
            "select id, name, driver, coalesce(bridge, ''),"
            " iif(instr(config, '\"isolated\"'), '', coalesce(json_extract(config, '$.gateway'), '')),"
            " iif(instr(config, '\"isolated\"'), '', coalesce(json_extract(config, '$.gateway6'), '')) from networks"
            f" where id in ({', '.join('?' * len(network_ids))})",
            network_ids,
        )
        return [UsedNetwork(*row) for row in rows]

    def _plain(self, query: str, values: Sequence[str] = ()) -> list[Any]:
        """Return rows as tuples, which are cheaper than sqlite3.Row: there may be a thousand."""
        cursor = self.db.cursor()
        cursor.row_factory = None
        return cursor.execute(query, values).fetchall()

    def has_named_endpoints(self) -> bool:
        """Return whether a container is in a network in which names are resolved."""
        row = self.db.execute(
            "select 1 from networks n cross join endpoints e on e.network = n.id where n.name != ? limit 1",
            (DEFAULT_NETWORK,),
        )
        return row.fetchone() is not None

    def add_event(self, kind: str, action: str, actor: str, attributes: dict[str, str]) -> None:
        """Add an event, in the transaction of the change itself if there is one. The last 10 000 are kept."""
        self.db.execute(
            "insert into events (time, type, action, actor, attributes) values (?, ?, ?, ?, ?)",
            (time.time(), kind, action, actor, json.dumps(attributes)),
        )

    def events(self, after: int) -> list[Event]:
        """Return the events after the one with that number, in order."""
        rows = self.db.execute("select * from events where id > ? order by id", (after,))
        return [
            Event(row["id"], row["time"], row["type"], row["action"], row["actor"], json.loads(row["attributes"]))
            for row in rows
        ]

    def last_event(self) -> int:
        """Return the number of the last event, 0 if there is none."""
        return int(self.db.execute("select coalesce(max(id), 0) from events").fetchone()[0])


def _process(pid: int | None, started: int | None) -> Process | None:
    return None if pid is None or started is None else Process(pid, started)
