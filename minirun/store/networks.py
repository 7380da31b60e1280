"""The records of networks, of the endpoints in them, and of published ports."""

import json
import sqlite3
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any

from minirun.model import Endpoint, Network, Pool, PortMapping, Publication
from minirun.store.schema import OVERLAPS

_ip_address = lru_cache(ip_address)  # a thousand ports have few addresses


class Networks:
    db: sqlite3.Connection

    def networks(self) -> list[Network]:
        return [_network(row) for row in self.db.execute("select * from networks order by created")]

    def find_network(self, reference: str) -> Network | None:
        row = self.db.execute("select * from networks where name = ?1 or id = ?1", (reference,)).fetchone()
        if row is None and len(reference) >= 4 and reference.isalnum():
            rows = self.db.execute("select * from networks where id like ?", (reference + "%",)).fetchall()
            row = rows[0] if len(rows) == 1 else None
        return row and _network(row)

    def add_network(self, network: Network) -> None:
        pool, pool6 = network.pool, network.pool6
        self.db.execute(
            "insert into networks (id, name, driver, subnet, subnet6, bridge, created, config)"
            " values (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                network.id,
                network.name,
                network.driver,
                pool and str(pool.subnet),
                pool6 and str(pool6.subnet),
                network.bridge or None,
                network.created,
                json.dumps(_config(network)),
            ),
        )

    def set_pool(self, network: Network) -> None:
        """Of one that nobody is in."""
        self.db.execute(
            "update networks set subnet = ?, config = ?, last_address = 0 where id = ?",
            (str(network.subnet), json.dumps(_config(network)), network.id),
        )

    def delete_network(self, network_id: str) -> None:
        self.db.execute("delete from networks where id = ?", (network_id,))

    def last_address(self, network_id: str) -> int:
        """The last one given out, as an integer."""
        row = self.db.execute("select last_address from networks where id = ?", (network_id,)).fetchone()
        return row[0] if row else 0

    def is_used(self, network_id: str, address: int) -> bool:
        found = self.db.execute("select 1 from endpoints where network = ? and address = ?", (network_id, address))
        return found.fetchone() is not None

    def first_free(self, network_id: str, low: int, high: int) -> int | None:
        """The first address from `low` to `high` that no endpoint has."""
        if not self.is_used(network_id, low):
            return low
        # The end of the run of held ones that begins at `low`: each step is one look into the index.
        row = self.db.execute(
            "select address + 1 from endpoints as held where network = ?1 and address between ?2 and ?3 and not exists"
            " (select 1 from endpoints where network = ?1 and address = held.address + 1) order by address limit 1",
            (network_id, low, high),
        ).fetchone()
        return row[0] if row and row[0] <= high else None

    def is_used6(self, network_id: str, address: IPv6Address) -> bool:
        found = self.db.execute(
            "select 1 from endpoints where network = ? and address6 = ?", (network_id, str(address))
        )
        return found.fetchone() is not None

    def add_endpoint(self, endpoint: Endpoint) -> None:
        address = None if endpoint.address is None else int(endpoint.address)
        self.db.execute(
            "insert into endpoints (sandbox, position, network, address, address6, mac, aliases, state)"
            " values (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                endpoint.sandbox,
                endpoint.position,
                endpoint.network,
                address,
                endpoint.address6 and str(endpoint.address6),
                endpoint.given_mac,
                json.dumps(endpoint.aliases),
                endpoint.state,
            ),
        )
        if address is not None:
            self.db.execute("update networks set last_address = ? where id = ?", (address, endpoint.network))

    def set_endpoint(self, endpoint: Endpoint) -> None:
        """What a driver of its own addresses has given."""
        self.db.execute(
            "update endpoints set address = ?, address6 = ?, mac = ?, state = ? where sandbox = ? and position = ?",
            (
                None if endpoint.address is None else int(endpoint.address),
                endpoint.address6 and str(endpoint.address6),
                endpoint.given_mac,
                endpoint.state,
                endpoint.sandbox,
                endpoint.position,
            ),
        )

    def endpoints(self, sandbox: str | None = None, network: str | None = None) -> list[Endpoint]:
        # One statement each: with an "or" in it the index would not be used, and a start would cost more with each
        # container that runs.
        if sandbox is not None:
            rows = self.db.execute("select * from endpoints where sandbox = ? order by position", (sandbox,))
        elif network is not None:
            rows = self.db.execute("select * from endpoints where network = ? order by sandbox, position", (network,))
        else:
            rows = self.db.execute("select * from endpoints order by sandbox, position")
        return [_endpoint(row) for row in rows]

    def networks_of(self, sandbox: str) -> list[Network]:
        rows = self.db.execute(
            "select * from networks where id in (select network from endpoints where sandbox = ?)", (sandbox,)
        )
        return [_network(row) for row in rows]

    def network(self, network_id: str) -> Network | None:
        row = self.db.execute("select * from networks where id = ?", (network_id,)).fetchone()
        return row and _network(row)

    def delete_endpoints(self, sandbox: str) -> None:
        self.db.execute("delete from endpoints where sandbox = ?", (sandbox,))

    def delete_endpoint(self, endpoint: Endpoint) -> None:
        self.db.execute(
            "delete from endpoints where sandbox = ? and position = ?", (endpoint.sandbox, endpoint.position)
        )

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

    def ports(self, container: str | None = None) -> list[Publication]:
        where = "where container = ?" if container is not None else ""
        query = f"select * from ports {where} order by protocol, host_port, instr(host_address, ':') > 0"
        return [_publication(row) for row in self.db.execute(query, () if container is None else (container,))]

    def port_holder(self, mapping: PortMapping) -> Publication | None:
        """Whose published port stands in the way of `mapping`."""
        row = self.db.execute(
            "with wanted (protocol, host_port, count, host_address) as (values (?, ?, ?, ?))"
            f" select held.* from wanted, ports as held where {OVERLAPS.format('wanted')}",
            (mapping.protocol, mapping.host_port, mapping.count, str(mapping.host_address)),
        ).fetchone()
        return row and _publication(row)

    def delete_port(self, mapping: PortMapping) -> None:
        self.db.execute(
            "delete from ports where protocol = ? and host_address = ? and host_port = ?",
            (mapping.protocol, str(mapping.host_address), mapping.host_port),
        )

    def delete_ports(self, container: str) -> None:
        self.db.execute("delete from ports where container = ?", (container,))


def _config(network: Network) -> dict[str, Any]:
    """What no constraint of the schema looks at."""
    config: dict[str, Any] = {"mtu": network.mtu}
    for name, pool in (("", network.pool), ("6", network.pool6)):
        if pool is not None:
            config[f"gateway{name}"] = str(pool.gateway)
            if pool.ip_range is not None:
                config[f"ip_range{name}"] = str(pool.ip_range)
            if pool.aux:
                config[f"aux{name}"] = [(label, str(address)) for label, address in pool.aux]
    for name in ("internal", "attachable", "labels", "options", "env"):
        if value := getattr(network, name):
            config[name] = value
    return config


def _network(row: sqlite3.Row) -> Network:
    config = json.loads(row["config"])
    pool = pool6 = None
    if row["subnet"] is not None:
        within = config.get("ip_range")
        pool = Pool(
            IPv4Network(row["subnet"]),
            IPv4Address(config["gateway"]),
            IPv4Network(within) if within else None,
            tuple((label, IPv4Address(address)) for label, address in config.get("aux", ())),
        )
    if row["subnet6"] is not None:
        within = config.get("ip_range6")
        pool6 = Pool(
            IPv6Network(row["subnet6"]),
            IPv6Address(config["gateway6"]),
            IPv6Network(within) if within else None,
            tuple((label, IPv6Address(address)) for label, address in config.get("aux6", ())),
        )
    return Network(
        id=row["id"],
        name=row["name"],
        created=row["created"],
        driver=row["driver"],
        pool=pool,
        pool6=pool6,
        bridge=row["bridge"] or "",
        mtu=config["mtu"],
        internal=config.get("internal", False),
        attachable=config.get("attachable", False),
        **{name: tuple((key, value) for key, value in config.get(name, ())) for name in ("labels", "options", "env")},
    )


def _endpoint(row: sqlite3.Row) -> Endpoint:
    return Endpoint(
        sandbox=row["sandbox"],
        position=row["position"],
        network=row["network"],
        address=None if row["address"] is None else IPv4Address(row["address"]),
        address6=None if row["address6"] is None else IPv6Address(row["address6"]),
        given_mac=row["mac"],
        aliases=tuple(json.loads(row["aliases"])),
        state=row["state"],
    )


def _publication(row: sqlite3.Row) -> Publication:
    mapping = PortMapping(
        row["container_port"], row["host_port"], row["protocol"], _ip_address(row["host_address"]), row["count"]
    )
    return Publication(row["sandbox"], row["container"], mapping, _ip_address(row["target"]))
