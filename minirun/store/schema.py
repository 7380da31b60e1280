"""The tables, and the upgrade from each version of them to the next."""

import json
import sqlite3
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

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
# Images as the OCI specification has them: the id is the digest of the configuration document.
_SCHEMA_9 = """
-- tar_size: bytes of the archive that diff_id is the digest of; 0 when nobody has counted them
create table layers (
    diff_id text primary key, directory text not null unique, size integer not null, tar_size integer not null default 0
) strict;
-- Layers as they were transferred. A layer without one is packed from its directory.
create table blobs (
    digest text primary key, diff_id text not null, size integer not null, file text not null unique,
    compression text not null
) strict;
create index blobs_diff_id on blobs (diff_id);
-- The manifest by which an image came from a registry or went to one, exactly as it was sent.
create table manifests (image text primary key, media_type text not null, content text not null) strict;
-- What a registry calls an image: name@digest.
create table repo_digests (
    repository text not null, digest text not null, image text not null, primary key (repository, digest)
) strict, without rowid;
create table image_layers (
    image text not null, position integer not null, diff_id text not null references layers (diff_id),
    primary key (image, position)
) strict, without rowid;
create index image_layers_diff_id on image_layers (diff_id);
alter table images rename to images_8;
create table images (
    id text primary key, config text not null, created real not null, parent text not null default '',
    removed integer not null default 0
) strict;
create table tags_9 (reference text primary key, image text not null references images (id)) strict;
insert into tags_9 select * from tags;
drop table tags;
alter table tags_9 rename to tags;
"""


def _documents(db: sqlite3.Connection) -> None:
    """Upgrade images to configuration documents. They keep their ids, which containers have on record."""
    for image_id, details_text, layers_text, created, _ in db.execute("select * from images_8").fetchall():
        details = json.loads(details_text)
        diff_ids = []
        for position, (directory, digest) in enumerate(json.loads(layers_text)):
            row = db.execute("select diff_id from layers where directory = ?", (directory,)).fetchone()
            # Two directories with one digest: both stay, since running containers may have them mounted.
            taken = db.execute("select 1 from layers where diff_id = ?", (digest,)).fetchone()
            diff_id = row[0] if row else sha256(directory.encode()).hexdigest() if taken else digest
            diff_ids.append(diff_id)
            size = details.get("history", [])[position].get("size", 0)
            db.execute("insert or ignore into layers values (?, ?, ?, 0)", (diff_id, directory, size))
            db.execute("insert into image_layers values (?, ?, ?)", (image_id, position, diff_id))
        document = _document(details, diff_ids, created)
        removed = int(bool(details.get("removed")))
        db.execute(
            "insert into images values (?, ?, ?, ?, ?)",
            (image_id, json.dumps(document), created, details.get("parent", ""), removed),
        )
    db.execute("drop table images_8")


def _document(details: dict[str, Any], diff_ids: list[str], created: float) -> dict[str, Any]:
    def moment(seconds: float) -> str:
        return datetime.fromtimestamp(seconds, UTC).isoformat()

    return {
        **{key: details[key] for key in ("architecture", "author", "comment") if details.get(key)},
        "os": "linux",
        "config": details.get("config", {}),
        "created": moment(created),
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{diff_id}" for diff_id in diff_ids]},
        "history": [
            {key: moment(value) if key == "created" else value for key, value in step.items() if key != "size"}
            for step in details.get("history", [])
        ],
    }


# Of an endpoint's link in the container: its name, where it is not ethN of the position, and its sysctls.
_SCHEMA_10 = """
alter table endpoints add column name text not null default '';
alter table endpoints add column sysctls text not null default '[]';
"""
# Which step of a build has led to which snapshot. The image that stands for one is hidden from users (`removed`).
_SCHEMA_11 = """
create table build_cache (
    key text primary key, image text not null references images (id), description text not null,
    created real not null, used real not null
) strict;
create index build_cache_image on build_cache (image);
"""

# What ends with a process on the host, its owner; and the process that waits for the owner's end.
_SCHEMA_12 = """
create table owned (
    kind text not null check (kind in ('container', 'network', 'image')),
    id text not null,
    pid integer not null,
    started integer not null,
    boot text not null,
    primary key (kind, id)
) strict;
create table guards (
    pid integer not null,
    started integer not null,
    boot text not null,
    guard_pid integer not null,
    guard_started integer not null,
    primary key (pid, started, boot)
) strict;
create trigger disown_container after delete on containers begin
    delete from owned where kind = 'container' and id = old.id;
end;
create trigger disown_image after delete on images begin
    delete from owned where kind = 'image' and id = old.id;
end;
create trigger disown_network after delete on networks begin
    delete from owned where kind = 'network' and id = old.id;
end;
"""
# Faults on cables and in names. `config` holds what no constraint needs. A fault goes with its container and network.
# What may have an owner is no longer listed: a table's constraint cannot be changed, and the triggers say what goes.
_SCHEMA_13 = """
create table faults (
    id text primary key, kind text not null, network text not null, container text not null, peer text not null,
    created real not null, state text not null check (state in ('pending', 'active', 'healing')),
    pid integer not null, started integer not null, boot text not null, config text not null
) strict;
drop trigger disown_container;
drop trigger disown_image;
drop trigger disown_network;
create table owned_13 (
    kind text not null, id text not null, pid integer not null, started integer not null, boot text not null,
    primary key (kind, id)
) strict;
insert into owned_13 select kind, id, pid, started, boot from owned;
drop table owned;
alter table owned_13 rename to owned;
create trigger disown_container after delete on containers begin
    delete from owned where kind = 'container' and id = old.id;
end;
create trigger disown_image after delete on images begin
    delete from owned where kind = 'image' and id = old.id;
end;
create trigger disown_network after delete on networks begin
    delete from owned where kind = 'network' and id = old.id;
end;
create trigger disown_fault after delete on faults begin
    delete from owned where kind = 'fault' and id = old.id;
end;
create trigger heal_container after delete on containers begin
    delete from faults where old.id in (container, peer);
end;
create trigger heal_network after delete on networks begin
    delete from faults where network = old.id;
end;
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
    (_SCHEMA_9, _documents),
    (_SCHEMA_10,),
    (_SCHEMA_11,),
    (_SCHEMA_12,),
    (_SCHEMA_13,),
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
