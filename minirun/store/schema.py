"""The tables, and the upgrade from each version of them to the next."""

import json
import sqlite3
from collections.abc import Callable, Iterator

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
# Networks of any driver, with IPv6 and options; endpoints with a second address and names of their own.
_SCHEMA_4 = """
create table networks_4 (
    id text primary key, name text not null unique, driver text not null default 'bridge',
    subnet text unique, subnet6 text unique, bridge text unique, created real not null,
    last_address integer not null default 0, config text not null default '{}'
) strict;
insert into networks_4 (id, name, subnet, bridge, created, last_address, config)
    select id, name, subnet, bridge, created, last_address, json_object('gateway', gateway, 'mtu', mtu) from networks;
create table endpoints_4 (
    sandbox text not null, position integer not null, network text not null references networks (id),
    address integer, address6 text, mac text not null default '', aliases text not null default '[]',
    state text not null default '',
    primary key (sandbox, position), unique (sandbox, network), unique (network, address), unique (network, address6)
) strict;
insert into endpoints_4 (sandbox, position, network, address, mac)
    select sandbox, position, network, address, mac from endpoints;
drop table endpoints;
drop table networks;
alter table networks_4 rename to networks;
alter table endpoints_4 rename to endpoints;
"""
# minirun's own rules in foreign firewalls.
_SCHEMA_4_PLACES = """
create table places (
    kind text not null, family text not null, tab text not null, chain text not null,
    primary key (kind, family, tab, chain)
) strict;
"""
# `count` consecutive ports. Two rows overlap when they share a port, the protocol and an address; 0.0.0.0 and :: are
# every address of their family. An index finds single ports; ranges that begin lower have an index of their own, so
# that the thousandth port costs no more than the first.
OVERLAPS = """(
    held.protocol = {0}.protocol and held.host_port between {0}.host_port and {0}.host_port + {0}.count - 1
    or held.protocol = {0}.protocol and held.count > 1 and held.host_port < {0}.host_port
    and held.host_port + held.count > {0}.host_port
) and (
    held.host_address = {0}.host_address or (instr(held.host_address, ':') > 0) = (instr({0}.host_address, ':') > 0)
    and (held.host_address in ('0.0.0.0', '::') or {0}.host_address in ('0.0.0.0', '::'))
)
"""
_SCHEMA_5 = f"""
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
create index ports_container on ports (container);
create trigger ports_overlap before insert on ports
when exists (select 1 from ports as held where {OVERLAPS.format("new")})
begin select raise(abort, 'UNIQUE constraint failed: ports overlap'); end;
"""
# Every command asks which containers have not completely ended, and who shares a sandbox. Without these indexes it
# would read the specs of all containers.
UNFINISHED = (
    "(status in ('starting', 'running', 'restarting', 'removing') or sandbox != '' or monitor_pid is not null"
    " or (status = 'exited' and json_extract(spec, '$.auto_remove')))"
)
_SCHEMA_6 = f"""
create index containers_unfinished on containers (id) where {UNFINISHED};
create index containers_sandbox on containers (sandbox, status) where sandbox != '';
create index endpoints_address on endpoints (address);
"""
# The ids of a user namespace, as "first:count".
_SCHEMA_7 = """
alter table containers add column ids text not null default '';
create index containers_ids on containers (ids) where ids != '';
"""
# For running containers each command only asks whether the shim lives: the index holds all that takes.
_SCHEMA_8 = f"""
create index containers_running on containers (boot, monitor_pid, id) where status = 'running';
create index containers_unsettled on containers (id) where status != 'running' and {UNFINISHED};
drop index containers_unfinished;
"""
# Of an endpoint's link in the container: its name, where it is not ethN of the position, and its sysctls.
_SCHEMA_9 = """
alter table endpoints add column name text not null default '';
alter table endpoints add column sysctls text not null default '[]';
"""


def _attachments(db: sqlite3.Connection) -> None:
    """Upgrade specs from lists of network names (version 3) to attachments with options (version 4)."""
    for container_id, text in db.execute("select id, spec from containers").fetchall():
        spec = json.loads(text)
        first = {name: value for name in ("mac", "links") if (value := spec.pop(name, None))}
        request = spec.pop("network", {"mode": "bridge", "names": ["bridge"], "address": None})
        kept = {"mode": request["mode"], "attachments": [], "container": ""}
        if request["mode"] == "container":
            kept["container"] = request["names"][0]
        elif request["names"]:
            kept["attachments"] = [{"network": name} for name in request["names"]]
            kept["attachments"][0] |= first | ({"address": request["address"]} if request["address"] else {})
        db.execute("update containers set spec = ? where id = ?", (json.dumps({**spec, "network": kept}), container_id))


# Each upgrades by one version; a new database runs them all.
_SCHEMAS: tuple[tuple[str | Callable[[sqlite3.Connection], None], ...], ...] = (
    (_SCHEMA_1,),
    (_SCHEMA_2,),
    (_SCHEMA_3,),
    (_SCHEMA_4, _attachments, _SCHEMA_4_PLACES),
    (_SCHEMA_5,),
    (_SCHEMA_6,),
    (_SCHEMA_7,),
    (_SCHEMA_8,),
    (_SCHEMA_9,),
)
VERSION = len(_SCHEMAS)


def upgrade(db: sqlite3.Connection, version: int) -> None:
    """Upgrade from `version` (0: a new database) to the newest, within the caller's transaction."""
    for step in (step for steps in _SCHEMAS[version:] for step in steps):
        if callable(step):
            step(db)
            continue
        # executescript would commit first; statement by statement stays within the transaction.
        for statement in _statements(step):
            db.execute(statement)
    db.execute(f"pragma user_version={VERSION}")


def _statements(script: str) -> Iterator[str]:
    pending = ""
    for line in script.splitlines():
        pending += line + "\n"
        if sqlite3.complete_statement(pending):
            yield pending
            pending = ""
