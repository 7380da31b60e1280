"""The record of what minirun has put into others' rule sets, or has told of them."""

import sqlite3

from minirun.model import Place


class Places:
    db: sqlite3.Connection

    def places(self) -> list[Place]:
        return [Place(*row) for row in self.db.execute("select kind, family, tab, chain from places")]

    def has_rules_elsewhere(self) -> bool:
        return self.db.execute("select 1 from places where kind != 'told' limit 1").fetchone() is not None

    def add_place(self, place: Place) -> bool:
        """False when it was on record."""
        words = (place.kind, place.family, place.table, place.chain)
        return self.db.execute("insert or ignore into places values (?, ?, ?, ?)", words).rowcount == 1

    def delete_place(self, place: Place) -> None:
        words = (place.kind, place.family, place.table, place.chain)
        self.db.execute("delete from places where kind = ? and family = ? and tab = ? and chain = ?", words)

    def has_endpoints(self) -> bool:
        return self.db.execute("select 1 from endpoints limit 1").fetchone() is not None

    def bridges(self) -> list[tuple[str, bool]]:
        """(name of the link, whether the network has IPv6), without reading whole networks: there may be hundreds."""
        rows = self.db.execute("select bridge, subnet6 is not null from networks where bridge is not null")
        return [(row[0], bool(row[1])) for row in rows]
