"""What every command looks at, so in few columns and by indexes: there may be a thousand containers."""

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from minirun.model import DEFAULT_NETWORK, Process
from minirun.store.schema import UNFINISHED


class Run(NamedTuple):
    """Of a container whose end is not wholly on record: who is responsible for it. As the database has it: of a
    thousand, few are looked at closely."""

    id: str
    status: str
    boot: str
    command_pid: int | None
    command_started: int | None
    monitor_pid: int | None
    monitor_started: int | None

    @property
    def command(self) -> Process | None:
        return _process(self.command_pid, self.command_started)

    @property
    def monitor(self) -> Process | None:
        return _process(self.monitor_pid, self.monitor_started)


@dataclass(frozen=True, eq=False, repr=False)
class UsedNetwork:
    """One that a running container is in. Gateways are what its bridge should have, "" is none."""

    id: str
    name: str
    driver: str
    bridge: str
    gateway: str
    gateway6: str


# A sandbox that somebody is just being started in is that one's to wire.
_SETTLED = (
    "with settled as (select sandbox from containers where sandbox != '' group by sandbox"
    " having max(status in ('running', 'restarting')) and not max(status = 'starting'))"
)


_RUNS = "select id, status, boot, command_pid, command_started, monitor_pid, monitor_started from containers"


class Activity:
    db: sqlite3.Connection

    def running(self, boot: str) -> list[tuple[str, int | None]]:
        """(id, pid of the monitor) of those that run since that boot."""
        query = "select id, monitor_pid from containers where status = 'running' and boot = ?"
        return self._plain(query, (boot,))

    def unsettled(self, boot: str) -> list[Run]:
        """All others that are not wholly ended."""
        return [
            *map(Run._make, self._plain(f"{_RUNS} where status != 'running' and {UNFINISHED}")),
            *map(Run._make, self._plain(f"{_RUNS} where status = 'running' and boot != ?", (boot,))),
        ]

    def runs(self, ids: Iterable[str]) -> list[Run]:
        found = (self._plain(f"{_RUNS} where id = ?", (one,)) for one in ids)
        return [Run._make(row) for rows in found for row in rows]

    def settled_legs(self) -> list[tuple[str, int, str]]:
        """(sandbox, position, id of the network) of every leg that should be plugged in now."""
        return self._plain(
            f"{_SETTLED} select e.sandbox, e.position, e.network from settled cross join endpoints e using (sandbox)"
        )

    def used_networks(self, ids: Iterable[str]) -> list[UsedNetwork]:
        """Those of the settled legs. In SQLite: to read whole networks takes Python 20 us for each."""
        wanted = list(ids)
        rows = self._plain(
            "select id, name, driver, coalesce(bridge, ''),"
            " iif(instr(config, '\"isolated\"'), '', coalesce(json_extract(config, '$.gateway'), '')),"
            " iif(instr(config, '\"isolated\"'), '', coalesce(json_extract(config, '$.gateway6'), '')) from networks"
            f" where id in ({', '.join('?' * len(wanted))})",
            wanted,
        )
        return [UsedNetwork(*row) for row in rows]

    def _plain(self, query: str, values: Sequence[str] = ()) -> list[Any]:
        """As tuples: there may be a thousand."""
        cursor = self.db.cursor()
        cursor.row_factory = None
        return cursor.execute(query, values).fetchall()

    def has_named_endpoints(self) -> bool:
        """Whether anybody has an address in a network with names."""
        row = self.db.execute(
            "select 1 from networks n cross join endpoints e on e.network = n.id where n.name != ? limit 1",
            (DEFAULT_NETWORK,),
        )
        return row.fetchone() is not None


def _process(pid: int | None, started: int | None) -> Process | None:
    return None if pid is None or started is None else Process(pid, started)
