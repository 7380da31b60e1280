"""The record of what should exist: one SQLite database below the state root.

The schema forbids mistakes: a name among containers, an address in its network, a port on its host address are
unique because the tables say so. Every allocation is one transaction.
"""

import json
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, ip_address
from pathlib import Path

from minirun.errors import ConflictError, MinirunError
from minirun.model import (
    Container,
    Endpoint,
    Network,
    PortMapping,
    Process,
    Publication,
    Spec,
    Status,
)

BUSY_SECONDS = 10
DATABASE = "state.db"
UNTOUCHED = "nothing was touched: put a copy of it in its place, or use another --root"
# What cannot be used is not closed either: closing would write what is in its log into it.
_left_open: list[sqlite3.Connection] = []
_SCHEMA_1 = """
create table networks (
    id text primary key, name text not null unique, subnet text not null unique, gateway text not null,
    bridge text not null unique, mtu integer not null, created real not null, last_address integer not null default 0
) strict;
create table containers (
    id text primary key, name text not null unique, spec text not null, created real not null,
    status text not null default 'created', sandbox text not null default '',
    command_pid integer, command_started integer,
    monitor_pid integer, monitor_started integer, init_pid integer, init_started integer,
    boot text not null default '', started_at real not null default 0, finished_at real not null default 0,
    exit_code integer not null default 0, error text not null default ''
) strict;
create table endpoints (
    sandbox text not null, position integer not null, network text not null references networks (id),
    address integer not null,
    primary key (sandbox, position), unique (network, address)
) strict;
create table ports (
    sandbox text not null, container text not null, protocol text not null, host_address text not null,
    host_port integer not null check (host_port between 1 and 65535), container_port integer not null,
    target text not null, unique (host_address, protocol, host_port)
) strict;
-- 0.0.0.0 overlaps every address: a unique key alone cannot say that.
create trigger ports_overlap before insert on ports
when exists (
    select 1 from ports where protocol = new.protocol and host_port = new.host_port
    and (host_address = '0.0.0.0' or new.host_address = '0.0.0.0')
) begin select raise(abort, 'UNIQUE constraint failed: ports overlap'); end;
"""
_SCHEMA_2 = """
alter table containers add column paused integer not null default 0;
alter table containers add column restarts integer not null default 0;
alter table containers add column stop_requested integer not null default 0;
alter table containers add column held text not null default '{}';
alter table containers add column second_pin text not null default '';
create table events (
    id integer primary key autoincrement, time real not null, type text not null, action text not null,
    actor text not null, attributes text not null
) strict;
create trigger events_end after insert on events begin delete from events where id <= new.id - 10000; end;
"""
_SCHEMA_3 = """
alter table containers add column health text not null default '';
alter table containers add column oom_killed integer not null default 0;
alter table endpoints add column mac text not null default '';
create table images (
    id text primary key, config text not null, layers text not null, created real not null, size integer not null
) strict;
create table tags (reference text primary key, image text not null references images (id)) strict;
create table volumes (
    name text primary key, created real not null, labels text not null default '{}',
    options text not null default '{}', anonymous integer not null default 0
) strict;
"""
# `count` consecutive ports, which run in step. Two rows overlap when a port and a protocol are in both, and an address
# is: 0.0.0.0 and :: are every address of their family. Ports that came singly are found by the index, which leaves the
# ranges that begin lower: these have an index of their own, so that the thousandth port costs what the first did.
_OVERLAPS = """(
    held.protocol = {0}.protocol and held.host_port between {0}.host_port and {0}.host_port + {0}.count - 1
    or held.protocol = {0}.protocol and held.count > 1 and held.host_port < {0}.host_port
    and held.host_port + held.count > {0}.host_port
) and (
    held.host_address = {0}.host_address or (instr(held.host_address, ':') > 0) = (instr({0}.host_address, ':') > 0)
    and (held.host_address in ('0.0.0.0', '::') or {0}.host_address in ('0.0.0.0', '::'))
)
"""
_SCHEMA_PORTS = f"""
drop trigger ports_overlap;
alter table ports rename to ports_before;
create table ports (
    sandbox text not null, container text not null, protocol text not null, host_address text not null,
    host_port integer not null, container_port integer not null, target text not null, count integer not null default 1,
    check (host_port >= 1 and container_port >= 1 and count >= 1 and max(host_port, container_port) + count <= 65536)
) strict;
insert into ports select *, 1 from ports_before;
drop table ports_before;
create index ports_single on ports (protocol, host_port);
create index ports_ranges on ports (protocol, host_port) where count > 1;
create index ports_sandbox on ports (sandbox);
create index ports_container on ports (container);
create trigger ports_overlap before insert on ports
when exists (select 1 from ports as held where {_OVERLAPS.format("new")})
begin select raise(abort, 'UNIQUE constraint failed: ports overlap'); end;
"""
# Each brings the database one version further; a new one runs them all.
_SCHEMAS = (_SCHEMA_1, _SCHEMA_2, _SCHEMA_3, _SCHEMA_PORTS)
VERSION = len(_SCHEMAS)
_STARTABLE = "status in ('created', 'exited') and monitor_pid is null"


@dataclass(frozen=True, eq=False, repr=False)
class Event:
    """What became of a container, network or volume."""

    number: int
    time: float
    kind: str  # container, network, volume
    action: str
    actor: str  # its id
    attributes: dict[str, str]


class Store:
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
            self.db.execute("pragma journal_mode=wal")
            with self.write():
                version = self.db.execute("pragma user_version").fetchone()[0]
                for schema in _SCHEMAS[version:]:
                    # executescript would commit first; statement by statement stays within the transaction.
                    for statement in _statements(schema):
                        self.db.execute(statement)
                self.db.execute(f"pragma user_version={VERSION}")
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

    # --- containers

    def containers(self) -> list[Container]:
        return [_container(row) for row in self.db.execute("select * from containers order by created desc")]

    def container(self, container_id: str) -> Container | None:
        row = self.db.execute("select * from containers where id = ?", (container_id,)).fetchone()
        return row and _container(row)

    def find_containers(self, reference: str) -> list[Container]:
        """By exact name or id, otherwise every one whose id starts with `reference`."""
        exact = self.db.execute("select * from containers where name = ?1 or id = ?1", (reference,)).fetchall()
        if exact or not reference:
            return [_container(row) for row in exact]
        pattern = reference.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
        rows = self.db.execute("select * from containers where id like ? escape '\\'", (pattern,))
        return [_container(row) for row in rows]

    def refuse_taken_name(self, name: str) -> None:
        """Early, for the sake of the message: what keeps names unique is the schema."""
        held = self.db.execute("select id from containers where name = ?", (name,)).fetchone()
        if held:
            raise ConflictError(
                f'Conflict. The container name "/{name}" is already in use by container "{held[0]}".'
                " You have to remove (or rename) that container to be able to reuse that name."
            )

    def add_container(self, container: Container) -> None:
        self.refuse_taken_name(container.name)
        self.db.execute(
            "insert into containers (id, name, spec, created) values (?, ?, ?, ?)",
            (container.id, container.name, json.dumps(container.spec.to_dict()), container.created),
        )

    def move_status(self, container_id: str, sources: tuple[Status, ...], to: Status) -> bool:
        """Change the status only from one of `sources`; False when somebody else was there first."""
        marks = ",".join("?" * len(sources))
        changed = self.db.execute(
            f"update containers set status = ? where id = ? and status in ({marks})",
            (to, container_id, *sources),
        )
        return changed.rowcount == 1

    def set_starting(self, container_id: str, command: Process, monitor: Process, boot: str) -> bool:
        """Claim a stopped container for a start; False when it is not stopped (any more), or what its last run held
        is still being given back."""
        changed = self.db.execute(
            "update containers set status = 'starting', command_pid = ?, command_started = ?,"
            " monitor_pid = ?, monitor_started = ?, boot = ?, init_pid = null, init_started = null,"
            " exit_code = 0, error = '', paused = 0, restarts = 0, stop_requested = 0,"
            " health = '', oom_killed = 0"
            f" where id = ? and {_STARTABLE}",
            (command.pid, command.started, monitor.pid, monitor.started, boot, container_id),
        )
        return changed.rowcount == 1

    def is_startable(self, container_id: str) -> bool:
        """As `set_starting` will find it."""
        row = self.db.execute(f"select 1 from containers where id = ? and {_STARTABLE}", (container_id,)).fetchone()
        return row is not None

    def set_running(self, container_id: str, init: Process, now: float) -> None:
        self.db.execute(
            "update containers set status = 'running', init_pid = ?, init_started = ?, started_at = ?, paused = 0"
            " where id = ?",
            (init.pid, init.started, now, container_id),
        )

    def set_restarting(self, container_id: str, code: int, now: float, error: str) -> bool:
        """It ended and shall start again; False when a user has asked for its end meanwhile."""
        changed = self.db.execute(
            "update containers set status = 'restarting', exit_code = ?, finished_at = ?, error = ?,"
            " restarts = restarts + 1, init_pid = null, init_started = null, paused = 0"
            " where id = ? and status in ('starting', 'running', 'restarting') and stop_requested = 0",
            (code, now, error, container_id),
        )
        return changed.rowcount == 1

    def set_exited(self, container_id: str, code: int, now: float, error: str) -> bool:
        """The first to say how it ended is right; who cleans up later only finds it said."""
        changed = self.db.execute(
            "update containers set status = 'exited', exit_code = ?, finished_at = ?, error = ?, paused = 0"
            " where id = ? and status in ('starting', 'running', 'restarting', 'created')",
            (code, now, error, container_id),
        )
        return changed.rowcount == 1

    def set_values(self, container_id: str, **values: "int | str | float") -> None:
        """Columns that no state machine guards: paused, stop_requested, health, oom_killed, name, held, sandbox,
        second_pin, started_at."""
        names = ", ".join(f"{name} = ?" for name in values)
        self.db.execute(f"update containers set {names} where id = ?", (*values.values(), container_id))

    def set_spec(self, container_id: str, spec: Spec) -> None:
        self.db.execute("update containers set spec = ? where id = ?", (json.dumps(spec.to_dict()), container_id))

    def held(self, container_id: str) -> dict[str, str]:
        """Addresses and ports of the last start, which the next one asks for again: {"network id": "address"}."""
        row = self.db.execute("select held from containers where id = ?", (container_id,)).fetchone()
        return json.loads(row[0]) if row else {}

    def forget_processes(self, container_id: str) -> None:
        self.db.execute(
            "update containers set monitor_pid = null, init_pid = null, sandbox = '' where id = ?",
            (container_id,),
        )

    def delete_container(self, container_id: str) -> None:
        self.db.execute("delete from containers where id = ?", (container_id,))

    def boot_of(self, container_id: str) -> str:
        row = self.db.execute("select boot from containers where id = ?", (container_id,)).fetchone()
        return row[0] if row else ""

    def members(self, sandbox: str) -> list[Container]:
        """The containers whose processes are, or are about to be, in a sandbox."""
        rows = self.db.execute(
            "select * from containers where sandbox = ? and status in ('starting', 'running', 'restarting')", (sandbox,)
        )
        return [_container(row) for row in rows]

    # --- events

    def add_event(self, kind: str, action: str, actor: str, attributes: dict[str, str]) -> None:
        """In the transaction of what it tells of, if there is one. The last 10 000 are kept."""
        self.db.execute(
            "insert into events (time, type, action, actor, attributes) values (?, ?, ?, ?, ?)",
            (time.time(), kind, action, actor, json.dumps(attributes)),
        )

    def events(self, after: int) -> list["Event"]:
        """All that came after the event of that number, in order."""
        rows = self.db.execute("select * from events where id > ? order by id", (after,))
        return [
            Event(row["id"], row["time"], row["type"], row["action"], row["actor"], json.loads(row["attributes"]))
            for row in rows
        ]

    def last_event(self) -> int:
        return int(self.db.execute("select coalesce(max(id), 0) from events").fetchone()[0])

    # --- networks, endpoints, ports

    def networks(self) -> list[Network]:
        return [_network(row) for row in self.db.execute("select * from networks order by created")]

    def find_network(self, reference: str) -> Network | None:
        row = self.db.execute("select * from networks where name = ?1 or id = ?1", (reference,)).fetchone()
        if row is None and len(reference) >= 4 and reference.isalnum():
            rows = self.db.execute("select * from networks where id like ?", (reference + "%",)).fetchall()
            row = rows[0] if len(rows) == 1 else None
        return row and _network(row)

    def add_network(self, network: Network) -> None:
        self.db.execute(
            "insert into networks (id, name, subnet, gateway, bridge, mtu, created) values (?, ?, ?, ?, ?, ?, ?)",
            (
                network.id,
                network.name,
                str(network.subnet),
                str(network.gateway),
                network.bridge,
                network.mtu,
                network.created,
            ),
        )

    def delete_network(self, network_id: str) -> None:
        self.db.execute("delete from networks where id = ?", (network_id,))

    def used_addresses(self, network_id: str) -> tuple[set[int], int]:
        """(addresses held, the last one given out), as integers."""
        rows = self.db.execute("select address from endpoints where network = ?", (network_id,))
        last = self.db.execute("select last_address from networks where id = ?", (network_id,)).fetchone()
        return {row[0] for row in rows}, last[0] if last else 0

    def add_endpoint(self, endpoint: Endpoint) -> None:
        address = int(endpoint.address)
        self.db.execute(
            "insert into endpoints (sandbox, position, network, address, mac) values (?, ?, ?, ?, ?)",
            (endpoint.sandbox, endpoint.position, endpoint.network, address, endpoint.given_mac),
        )
        self.db.execute("update networks set last_address = ? where id = ?", (address, endpoint.network))

    def endpoints(self, sandbox: str | None = None, network: str | None = None) -> list[Endpoint]:
        rows = self.db.execute(
            "select * from endpoints where (?1 is null or sandbox = ?1) and (?2 is null or network = ?2)"
            " order by sandbox, position",
            (sandbox, network),
        )
        return [
            Endpoint(row["sandbox"], row["position"], row["network"], IPv4Address(row["address"]), row["mac"])
            for row in rows
        ]

    def delete_endpoints(self, sandbox: str) -> None:
        self.db.execute("delete from endpoints where sandbox = ?", (sandbox,))

    def add_port(self, publication: Publication) -> None:
        mapping = publication.mapping
        self.db.execute(
            "insert into ports values (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                publication.sandbox,
                publication.container,
                mapping.protocol,
                str(mapping.host_address),
                mapping.host_port,
                mapping.container_port,
                str(publication.target),
                mapping.count,
            ),
        )

    def ports(self, container: str | None = None, sandbox: str | None = None) -> list[Publication]:
        """All, or those of one container or sandbox."""
        wanted = {"container": container, "sandbox": sandbox}
        given = {name: value for name, value in wanted.items() if value is not None}
        where = " and ".join(f"{name} = :{name}" for name in given) or "true"
        query = f"select * from ports where {where} order by protocol, host_port, instr(host_address, ':') > 0"
        return [_publication(row) for row in self.db.execute(query, given)]

    def port_holder(self, mapping: PortMapping) -> Publication | None:
        """Whose published port stands in the way of `mapping`."""
        row = self.db.execute(
            "with wanted (protocol, host_port, count, host_address) as (values (?, ?, ?, ?))"
            f" select held.* from wanted, ports as held where {_OVERLAPS.format('wanted')}",
            (mapping.protocol, mapping.host_port, mapping.count, str(mapping.host_address)),
        ).fetchone()
        return row and _publication(row)

    def delete_port(self, mapping: PortMapping) -> None:
        self.db.execute(
            "delete from ports where protocol = ? and host_address = ? and host_port = ?",
            (mapping.protocol, str(mapping.host_address), mapping.host_port),
        )

    def delete_ports(self, sandbox: str) -> None:
        self.db.execute("delete from ports where sandbox = ?", (sandbox,))


def make_private(root: Path) -> None:
    """The state root is root's alone: container trees hold setuid programs (CVE-2021-41091)."""
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    if root.stat().st_mode & 0o077:
        os.chmod(root, 0o700)


def _statements(script: str) -> Iterator[str]:
    pending = ""
    for line in script.splitlines():
        pending += line + "\n"
        if sqlite3.complete_statement(pending):
            yield pending
            pending = ""


def _process(pid: int | None, started: int | None) -> Process | None:
    return None if pid is None or started is None else Process(pid, started)


def _container(row: sqlite3.Row) -> Container:
    return Container(
        id=row["id"],
        name=row["name"],
        spec=Spec.from_dict(json.loads(row["spec"])),
        created=row["created"],
        status=Status(row["status"]),
        sandbox=row["sandbox"],
        command=_process(row["command_pid"], row["command_started"]),
        monitor=_process(row["monitor_pid"], row["monitor_started"]),
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
    )


def _network(row: sqlite3.Row) -> Network:
    return Network(
        id=row["id"],
        name=row["name"],
        subnet=IPv4Network(row["subnet"]),
        gateway=IPv4Address(row["gateway"]),
        bridge=row["bridge"],
        created=row["created"],
        mtu=row["mtu"],
    )


def _publication(row: sqlite3.Row) -> Publication:
    mapping = PortMapping(
        row["container_port"], row["host_port"], row["protocol"], ip_address(row["host_address"]), row["count"]
    )
    return Publication(row["sandbox"], row["container"], mapping, ip_address(row["target"]))
