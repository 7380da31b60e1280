"""The records of networks and of the endpoints in them."""

import json
import sqlite3
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any

from minirun.model import (
    Address,
    Endpoint,
    Network,
    Pool,
    PoolRequest,
    PoolRequest4,
    PoolRequest6,
    Subnet,
    Template,
)
from minirun.store.references import rows_meant_by


class Networks:
    """Queries of networks and endpoints. Changes run in the caller's transaction; see `Store.write`."""

    db: sqlite3.Connection

    def networks(self) -> list[Network]:
        """Return all networks, the oldest first."""
        return [_network(row) for row in self.db.execute("select * from networks order by created")]

    def find_networks(self, reference: str) -> list[Network]:
        """Return the network with that id, else with that name, else all whose id starts with `reference`."""
        return [_network(row) for row in rows_meant_by(self.db, "networks", reference)]

    def find_network(self, reference: str) -> Network | None:
        """Return the network that `reference` means; None when it means none, or several."""
        found = self.find_networks(reference)
        return found[0] if len(found) == 1 else None

    def add_network(self, network: Network) -> None:
        """Record a new network; sqlite3.IntegrityError if its name, bridge or subnet is in use."""
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
        """Replace the IPv4 pool of a network without endpoints."""
        self.db.execute(
            "update networks set subnet = ?, config = ?, last_address = 0 where id = ?",
            (str(network.subnet), json.dumps(_config(network)), network.id),
        )

    def delete_network(self, network_id: str) -> None:
        """Delete the record."""
        self.db.execute("delete from networks where id = ?", (network_id,))

    def last_address(self, network_id: str) -> int:
        """Return the address that was allocated last, as an integer; 0 for none."""
        row = self.db.execute("select last_address from networks where id = ?", (network_id,)).fetchone()
        return row[0] if row else 0

    def is_used(self, network_id: str, address: int) -> bool:
        """Return whether an endpoint has an IPv4 address, given as an integer."""
        rows = self.db.execute("select 1 from endpoints where network = ? and address = ?", (network_id, address))
        return rows.fetchone() is not None

    def first_free(self, network_id: str, low: int, high: int) -> int | None:
        """Return the first free address from `low` to `high`, all as integers; None if there is none."""
        if not self.is_used(network_id, low):
            return low
        # The end of the run of used addresses that begins at `low`: one index lookup per step.
        row = self.db.execute(
            "select address + 1 from endpoints as held where network = ?1 and address between ?2 and ?3 and not exists"
            " (select 1 from endpoints where network = ?1 and address = held.address + 1) order by address limit 1",
            (network_id, low, high),
        ).fetchone()
        return row[0] if row and row[0] <= high else None

    def is_used6(self, network_id: str, address: IPv6Address) -> bool:
        """Return whether an endpoint has an IPv6 address."""
        rows = self.db.execute("select 1 from endpoints where network = ? and address6 = ?", (network_id, str(address)))
        return rows.fetchone() is not None

    def add_endpoint(self, endpoint: Endpoint) -> None:
        """Record a new endpoint; sqlite3.IntegrityError if its address is in use."""
        address = None if endpoint.address is None else int(endpoint.address)
        self.db.execute(
            "insert into endpoints (sandbox, position, network, address, address6, mac, aliases, state, name, sysctls)"
            " values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                endpoint.sandbox,
                endpoint.position,
                endpoint.network,
                address,
                endpoint.address6 and str(endpoint.address6),
                endpoint.given_mac,
                json.dumps(endpoint.aliases),
                endpoint.state,
                endpoint.given_name,
                json.dumps(endpoint.sysctls),
            ),
        )
        if address is not None:
            self.db.execute("update networks set last_address = ? where id = ?", (address, endpoint.network))

    def set_endpoint(self, endpoint: Endpoint) -> None:
        """Record the addresses and the state that a driver with its own IPAM has set."""
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
        """Return the endpoints of a sandbox, of a network, or all."""
        # Three statements: with an "or" the index would not be used, and each running container would slow a start.
        if sandbox is not None:
            rows = self.db.execute("select * from endpoints where sandbox = ? order by position", (sandbox,))
        elif network is not None:
            rows = self.db.execute("select * from endpoints where network = ? order by sandbox, position", (network,))
        else:
            rows = self.db.execute("select * from endpoints order by sandbox, position")
        return [_endpoint(row) for row in rows]

    def networks_of(self, sandbox: str) -> list[Network]:
        """Return the networks in which a sandbox has endpoints."""
        rows = self.db.execute(
            "select * from networks where id in (select network from endpoints where sandbox = ?)", (sandbox,)
        )
        return [_network(row) for row in rows]

    def network(self, network_id: str) -> Network | None:
        """Return the network with an id."""
        row = self.db.execute("select * from networks where id = ?", (network_id,)).fetchone()
        return row and _network(row)

    def delete_endpoints(self, sandbox: str) -> None:
        """Delete all endpoints of a sandbox."""
        self.db.execute("delete from endpoints where sandbox = ?", (sandbox,))

    def delete_endpoint(self, endpoint: Endpoint) -> None:
        """Delete one endpoint."""
        self.db.execute(
            "delete from endpoints where sandbox = ? and position = ?", (endpoint.sandbox, endpoint.position)
        )


def _config(network: Network) -> dict[str, Any]:
    """Return what no constraint of the schema needs, as plain values."""
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
    if network.config_from:
        config["config_from"] = network.config_from
    if network.template is not None:
        config["template"] = [_request_values(network.template.ipv4), _request_values(network.template.ipv6)]
    return config


def _request_values(request: PoolRequest4 | PoolRequest6 | None) -> list[Any] | None:
    if request is None:
        return None
    values = (request.subnet, request.gateway, request.ip_range)
    aux = [(label, str(address)) for label, address in request.aux]
    return [*(None if value is None else str(value) for value in values), aux]


def _request(values: list[Any], network: type[Subnet], address: type[Address]) -> PoolRequest[Subnet, Address]:
    subnet, gateway, ip_range, aux = values
    return PoolRequest(
        None if subnet is None else network(subnet),
        None if gateway is None else address(gateway),
        None if ip_range is None else network(ip_range),
        tuple((label, address(text)) for label, text in aux),
    )


def _template(values: list[Any]) -> Template:
    four, six = values
    return Template(
        _request(four, IPv4Network, IPv4Address),
        None if six is None else _request(six, IPv6Network, IPv6Address),
    )


def _network(row: sqlite3.Row) -> Network:
    return _network_of(tuple(row.keys()), tuple(row))


@lru_cache(maxsize=256)
def _network_of(names: tuple[str, ...], values: tuple[Any, ...]) -> Network:
    """Cached: a list of containers asks for the same network once for each."""
    row = dict(zip(names, values, strict=True))
    config = json.loads(row["config"])
    pool = pool6 = None
    if row["subnet"] is not None:
        ip_range = config.get("ip_range")
        pool = Pool(
            IPv4Network(row["subnet"]),
            IPv4Address(config["gateway"]),
            IPv4Network(ip_range) if ip_range else None,
            tuple((label, IPv4Address(address)) for label, address in config.get("aux", ())),
        )
    if row["subnet6"] is not None:
        ip_range = config.get("ip_range6")
        pool6 = Pool(
            IPv6Network(row["subnet6"]),
            IPv6Address(config["gateway6"]),
            IPv6Network(ip_range) if ip_range else None,
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
        template=_template(config["template"]) if "template" in config else None,
        config_from=config.get("config_from", ""),
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
        given_name=row["name"],
        sysctls=tuple((key, value) for key, value in json.loads(row["sysctls"])),
    )
