"""Names: which record a user's reference means, and what the DNS server answers with."""

import json
import sqlite3
from dataclasses import dataclass
from ipaddress import IPv6Address

from minirun.errors import MinirunError, NotFoundError
from minirun.model import Container, Network
from minirun.store.containers import Containers
from minirun.store.networks import Networks

_ACTIVE = "status in ('starting', 'running', 'restarting')"


def find_container(store: Containers, reference: str, code: int = 1) -> Container:
    """Return the container that an id, a name or the start of an id means.

    NotFoundError, or MinirunError if there are several, with exit code `code`.
    """
    matching = store.find_containers(reference.removeprefix("/"))
    if not matching:
        raise NotFoundError(f"No such container: {reference}", code=code)
    if len(matching) > 1:
        raise MinirunError(
            f"multiple IDs found with provided prefix: {reference}", "use more of the id, or the name", code
        )
    return matching[0]


def find_network(store: Networks, reference: str, code: int = 1) -> Network:
    """Return the network that an id, a name or the start of an id means.

    NotFoundError, or MinirunError if there are several, with exit code `code`.
    """
    matching = store.find_networks(reference)
    if not matching:
        raise NotFoundError(f"network {reference} not found", "minirun network ls lists them", code)
    if len(matching) > 1:
        text = f"network {reference} is ambiguous ({len(matching)} matches found based on ID prefix)"
        raise MinirunError(text, "use more of the id, or the name", code)
    return matching[0]


@dataclass(frozen=True, eq=False, repr=False)
class Member:
    """A running container in a network. Addresses are packed (4 or 16 bytes), b"" for none."""

    container: str  # the id
    name: str
    hostname: str
    aliases: tuple[str, ...]
    address: bytes
    address6: bytes


class Naming:
    """Queries of the DNS server."""

    db: sqlite3.Connection

    def data_version(self) -> int:
        """Return a number that changes when another process commits (sqlite.org/pragma.html#pragma_data_version)."""
        return int(self.db.execute("pragma data_version").fetchone()[0])

    def sandbox_at(self, address: int) -> str | None:
        """Return the sandbox with an IPv4 address, given as an integer."""
        row = self.db.execute("select sandbox from endpoints where address = ?", (address,)).fetchone()
        return row[0] if row else None

    def pin_of(self, sandbox: str) -> str:
        """Return the name under which a sandbox's netns is pinned, that of a running container in it; "" if none."""
        row = self.db.execute(
            f"select name from containers where sandbox = ? and sandbox != '' and {_ACTIVE}", (sandbox,)
        ).fetchone()
        return row[0] if row else ""

    def named_members(self, network: str) -> list[Member]:
        """Return the running containers in a network, by address. SQLite reads the JSON: Python takes 30 us a spec."""
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
