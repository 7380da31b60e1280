"""What the resolver reads: who has an address, and who is in a network under which names."""

import json
import sqlite3
from dataclasses import dataclass
from ipaddress import IPv6Address

_ACTIVE = "status in ('starting', 'running', 'restarting')"


@dataclass(frozen=True, eq=False, repr=False)
class Member:
    """A running container in a network. Addresses are packed, b"" is none."""

    container: str  # the id
    name: str
    hostname: str
    aliases: tuple[str, ...]
    address: bytes
    address6: bytes


class Naming:
    db: sqlite3.Connection

    def data_version(self) -> int:
        """Another number whenever another process has committed something."""
        return int(self.db.execute("pragma data_version").fetchone()[0])

    def sandbox_at(self, address: int) -> str | None:
        row = self.db.execute("select sandbox from endpoints where address = ?", (address,)).fetchone()
        return row[0] if row else None

    def pin_of(self, sandbox: str) -> str:
        """A name under which its namespace is pinned: that of a running container in it; "" when there is none."""
        row = self.db.execute(
            f"select name from containers where sandbox = ? and sandbox != '' and {_ACTIVE}", (sandbox,)
        ).fetchone()
        return row[0] if row else ""

    def named_members(self, network: str) -> list[Member]:
        """By address. The hostname is read in SQLite, because to read a thousand specs takes Python 30 ms."""
        rows = self.db.execute(
            "select c.id, c.name, json_extract(c.spec, '$.hostname') as hostname, e.aliases, e.address, e.address6"
            f" from endpoints e join containers c on c.id = e.sandbox where e.network = ? and c.{_ACTIVE}"
            " order by e.address",
            (network,),
        )
        return [_member(row) for row in rows]


def _member(row: sqlite3.Row) -> Member:
    return Member(
        container=row["id"],
        name=row["name"],
        hostname=row["hostname"] or "",
        aliases=tuple(json.loads(row["aliases"])),
        address=b"" if row["address"] is None else row["address"].to_bytes(4, "big"),
        address6=b"" if row["address6"] is None else IPv6Address(row["address6"]).packed,
    )
