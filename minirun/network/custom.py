"""Networks by name: making them, removing them, and the default one, which is made on first use."""

import os
import sqlite3
import time
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Generic

from minirun.errors import ConflictError, MinirunError
from minirun.instance import Instance
from minirun.model import DEFAULT_NETWORK, Address, Network, Pool, Pool4, Pool6, Subnet
from minirun.network import firewall, ipam
from minirun.network.drivers import driver_named

RESERVED = ("host", "none", "container", "default")


@dataclass(frozen=True)
class PoolWish(Generic[Subnet, Address]):
    """What was said of a network's addresses of one family; None is for minirun to choose."""

    subnet: Subnet | None = None
    gateway: Address | None = None
    ip_range: Subnet | None = None
    aux: tuple[tuple[str, Address], ...] = ()


@dataclass(frozen=True)
class NetworkWish:
    """What `network create` asks for."""

    name: str
    driver: str = "bridge"
    ipv4: PoolWish[IPv4Network, IPv4Address] = PoolWish()
    ipv6: PoolWish[IPv6Network, IPv6Address] | None = None
    internal: bool = False
    attachable: bool = False
    labels: tuple[tuple[str, str], ...] = ()
    options: tuple[tuple[str, str], ...] = ()
    env: tuple[tuple[str, str], ...] = ()


def default_network(instance: Instance) -> Network:
    """The network `bridge`; on first use it is put on record. Its bridge is made by the driver, as for any other."""
    return instance.store.find_network(DEFAULT_NETWORK) or _record(instance, NetworkWish(DEFAULT_NETWORK))


def create_network(instance: Instance, wish: NetworkWish) -> Network:
    """Record, rules, bridge, in this order: a crash in between leaves a record from which the next use goes on."""
    from minirun.kernel.netlink import Netlink

    if wish.name in (*RESERVED, DEFAULT_NETWORK):
        raise MinirunError(f"operation is not permitted on predefined {wish.name} network")
    network = _record(instance, wish)
    netlink = Netlink()
    try:
        firewall.ensure(instance.store, instance.table, [network])
        driver_named(network.driver).ensure(instance, netlink, network)
    except BaseException:
        remove_network(instance, network)
        raise
    finally:
        netlink.close()
    return network


def remove_network(instance: Instance, network: Network) -> None:
    """What the driver made, record, rules. Done twice, or with the bridge gone already, it ends in the same."""
    from minirun.kernel.netlink import Netlink

    store = instance.store
    held = store.endpoints(network=network.id)
    if held:
        names = [member.name for endpoint in held if (member := store.container(endpoint.sandbox))]
        raise ConflictError(
            f"error while removing network: network {network.name} has active endpoints ({', '.join(names)})",
            f"stop them first: minirun rm -f {' '.join(names)}",
        )
    netlink = Netlink()
    try:
        driver_named(network.driver).remove(instance, netlink, network)
    finally:
        netlink.close()
    with store.write():
        if store.endpoints(network=network.id):
            raise ConflictError(f"error while removing network: a container has just joined {network.name}")
        store.delete_network(network.id)
        firewall.refresh(store, instance.table)


def _record(instance: Instance, wish: NetworkWish) -> Network:
    from minirun.kernel.links import networks_in_use
    from minirun.kernel.netlink import Netlink

    driver = driver_named(wish.driver)
    netlink = Netlink()
    try:
        in_use = list(networks_in_use(netlink)) if driver.pools else []
    finally:
        netlink.close()
    store = instance.store
    with store.write():
        if (present := store.find_network(wish.name)) is not None and present.name == wish.name:
            if present.is_default:  # another first use was quicker
                return present
            raise ConflictError(f"network with name {wish.name} already exists")
        known = [(other.pool.subnet, f"network {other.name}") for other in store.networks() if other.pool]
        network = Network(
            id=os.urandom(32).hex(),
            name=wish.name,
            created=time.time(),
            driver=wish.driver,
            pool=_pool(wish.ipv4, [*known, *in_use]) if driver.pools else None,
            pool6=_pool6(store.networks(), wish.ipv6) if driver.pools and wish.ipv6 else None,
            internal=wish.internal,
            attachable=wish.attachable,
            labels=wish.labels,
            options=wish.options,
            env=wish.env,
        )
        network = driver.settle(instance, network)
        try:
            store.add_network(network)
        except sqlite3.IntegrityError as error:
            raise ConflictError(f"network {wish.name} collides with another one: {error}") from error
    return network


def _pool(wish: PoolWish[IPv4Network, IPv4Address], taken: list[tuple[IPv4Network, str]]) -> Pool4:
    subnet = wish.subnet
    if subnet is None:
        subnet = ipam.free_subnet(network for network, _ in taken)
    elif subnet.prefixlen > 30:
        raise MinirunError(f"invalid subnet {subnet}: it has no room for a gateway and a container")
    else:
        for network, owner in taken:
            if subnet.overlaps(network):
                raise ConflictError(
                    f"invalid pool request: Pool overlaps with other one on this address space: {subnet} and"
                    f" {network}, which is held by {owner}"
                )
    aux = {address for _, address in wish.aux}
    low = subnet.network_address + 1
    gateway = wish.gateway or next(low + number for number in range(subnet.num_addresses) if low + number not in aux)
    if gateway not in subnet or gateway in (subnet.network_address, subnet.broadcast_address):
        raise MinirunError(f"invalid gateway {gateway}: it is not a host address of {subnet}")
    return Pool(subnet, gateway, wish.ip_range, wish.aux)


def _pool6(networks: list[Network], wish: PoolWish[IPv6Network, IPv6Address]) -> Pool6:
    taken = [(other.pool6.subnet, other.name) for other in networks if other.pool6]
    subnet = wish.subnet or ipam.free_subnet6(network for network, _ in taken)
    for network, owner in taken:
        if subnet.overlaps(network):
            raise ConflictError(
                f"invalid pool request: Pool overlaps with other one on this address space: {subnet} and {network},"
                f" which is held by network {owner}"
            )
    gateway = wish.gateway or subnet.network_address + 1
    if gateway not in subnet or gateway == subnet.network_address:
        raise MinirunError(f"invalid gateway {gateway}: it is not a host address of {subnet}")
    return Pool(subnet, gateway, wish.ip_range, wish.aux)
