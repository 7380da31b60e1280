"""What every command looks at, so in few columns and by indexes: there may be a thousand containers."""

from minirun.light import sqlite3
from minirun.light.dataclasses import dataclass
from minirun.light.typing import NamedTuple
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


class Activity:
    db: sqlite3.Connection

    def unfinished(self) -> list[Run]:
        rows = self.db.execute(
            "select id, status, boot, command_pid, command_started, monitor_pid, monitor_started from containers"
            f" where {UNFINISHED}"
        )
        return list(map(Run._make, rows))

    def settled_legs(self) -> list[tuple[str, int, str]]:
        """(sandbox, position, id of the network) of every leg that should be plugged in now."""
        rows = self.db.execute(
            f"{_SETTLED} select e.sandbox, e.position, e.network from settled cross join endpoints e using (sandbox)"
        )
        return [tuple(row) for row in rows]

    def used_networks(self) -> list[UsedNetwork]:
        """Those of the settled legs. In SQLite: to read whole networks takes Python 20 us for each."""
        rows = self.db.execute(
            f"{_SETTLED} select id, name, driver, coalesce(bridge, ''),"
            " iif(instr(config, '\"isolated\"'), '', coalesce(json_extract(config, '$.gateway'), '')),"
            " iif(instr(config, '\"isolated\"'), '', coalesce(json_extract(config, '$.gateway6'), '')) from networks"
            " where id in (select e.network from settled cross join endpoints e using (sandbox))"
        )
        return [UsedNetwork(*row) for row in rows]

    def has_named_endpoints(self) -> bool:
        """Whether anybody has an address in a network with names."""
        row = self.db.execute(
            "select 1 from networks n cross join endpoints e on e.network = n.id where n.name != ? limit 1",
            (DEFAULT_NETWORK,),
        )
        return row.fetchone() is not None


def _process(pid: int | None, started: int | None) -> Process | None:
    return None if pid is None or started is None else Process(pid, started)
