"""The records that the firewall is rendered from: published ports, and minirun's own rules in foreign firewalls."""

import sqlite3
from functools import lru_cache
from ipaddress import ip_address

from minirun.model import Place, PortMapping, Publication
from minirun.store.schema import OVERLAPS

_ip_address = lru_cache(ip_address)  # a thousand ports share few addresses


class Firewall:
    """Queries of published ports and of places in foreign firewalls."""

    db: sqlite3.Connection

    def add_port(self, publication: Publication) -> None:
        """Record a published port; sqlite3.IntegrityError if it overlaps with another."""
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

    def ports(self, container: str | None = None) -> list[Publication]:
        """Return the published ports, of one container or of all."""
        where = "where container = ?" if container is not None else ""
        query = f"select * from ports {where} order by protocol, host_port, instr(host_address, ':') > 0"
        return [_publication(row) for row in self.db.execute(query, () if container is None else (container,))]

    def port_holder(self, mapping: PortMapping) -> Publication | None:
        """Return the published port that overlaps with `mapping`, None if there is none."""
        row = self.db.execute(
            "with wanted (protocol, host_port, count, host_address) as (values (?, ?, ?, ?))"
            f" select held.* from wanted, ports as held where {OVERLAPS.format('wanted')}",
            (mapping.protocol, mapping.host_port, mapping.count, str(mapping.host_address)),
        ).fetchone()
        return row and _publication(row)

    def delete_port(self, mapping: PortMapping) -> None:
        """Delete one published port."""
        self.db.execute(
            "delete from ports where protocol = ? and host_address = ? and host_port = ?",
            (mapping.protocol, str(mapping.host_address), mapping.host_port),
        )

    def delete_ports(self, container: str) -> None:
        """Delete a container's published ports."""
        self.db.execute("delete from ports where container = ?", (container,))

    def places(self) -> list[Place]:
        """Return where minirun has rules, or has reported that it needs some, in foreign firewalls."""
        return [Place(*row) for row in self.db.execute("select kind, family, tab, chain from places")]

    def has_foreign_rules(self) -> bool:
        """Return whether minirun has rules in foreign firewalls."""
        return self.db.execute("select 1 from places where kind != 'told' limit 1").fetchone() is not None

    def add_place(self, place: Place) -> bool:
        """Record a place. Return False if it was recorded already."""
        values = (place.kind, place.family, place.table, place.chain)
        return self.db.execute("insert or ignore into places values (?, ?, ?, ?)", values).rowcount == 1

    def delete_place(self, place: Place) -> None:
        """Delete a place from the record."""
        values = (place.kind, place.family, place.table, place.chain)
        self.db.execute("delete from places where kind = ? and family = ? and tab = ? and chain = ?", values)

    def has_endpoints(self) -> bool:
        """Return whether any container has an endpoint."""
        return self.db.execute("select 1 from endpoints limit 1").fetchone() is not None

    def bridges(self) -> list[tuple[str, bool]]:
        """Return (link name, whether it has IPv6) of each bridge, without reading whole networks."""
        rows = self.db.execute("select bridge, subnet6 is not null from networks where bridge is not null")
        return [(row[0], bool(row[1])) for row in rows]


def _publication(row: sqlite3.Row) -> Publication:
    mapping = PortMapping(
        row["container_port"], row["host_port"], row["protocol"], _ip_address(row["host_address"]), row["count"]
    )
    return Publication(row["sandbox"], row["container"], mapping, _ip_address(row["target"]))
