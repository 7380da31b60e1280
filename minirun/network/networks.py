"""Networks by name: making them, removing them, and the default one, which is made on first use."""

import os
import sqlite3
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Generic

from minirun.errors import ConflictError, MinirunError, NotFoundError
from minirun.instance import Instance
from minirun.model import DEFAULT_NETWORK, Address, Network, Subnet
from minirun.network.default_network import RESERVED
from minirun.network.dns.veth import remove_leg
from minirun.network.drivers import driver_named
from minirun.network.events import tell
from minirun.network.firewall import foreign, tables


@dataclass(frozen=True)
class PoolWish(Generic[Subnet, Address]):
    """What was said of a network's addresses of one family; None is for minirun to choose."""

    subnet: Subnet | None = None
    gateway: Address | None = None
    ip_range: Subnet | None = None
    aux: tuple[tuple[str, Address], ...] = ()


Wish4 = PoolWish[IPv4Network, IPv4Address]
Wish6 = PoolWish[IPv6Network, IPv6Address]


@dataclass(frozen=True)
class NetworkWish:
    """What `network create` asks for."""

    name: str
    driver: str = "bridge"
    ipv4: Wish4 = PoolWish()
    ipv6: Wish6 | None = None
    internal: bool = False
    attachable: bool = False
    labels: tuple[tuple[str, str], ...] = ()
    options: tuple[tuple[str, str], ...] = ()
    env: tuple[tuple[str, str], ...] = ()


def settle_default(instance: Instance, found: Network | None) -> Network:
    """The network named bridge, which is not on record yet, or whose bridge is not there."""
    return _moved(instance, found) if found else _record(instance, NetworkWish(DEFAULT_NETWORK))


def _moved(instance: Instance, network: Network) -> Network:
    """While its bridge was not there (before the first container, or since a reboot) another runtime cannot have seen
    that its subnet is taken. Nobody has an address in it: then it gets another one."""
    from minirun.network.ipam.pools import Surroundings, choose4

    around = Surroundings.look()
    store = instance.store
    if any(found.overlaps(network.subnet) for found, _ in around.in_use if isinstance(found, IPv4Network)):
        with store.write():
            others = [other for other in store.networks() if other.id != network.id]
            if not store.endpoints(network=network.id):
                network = replace(network, pool=choose4(PoolWish(), others, around, familiar=True))
                store.set_pool(network)
    return network


def create_network(instance: Instance, wish: NetworkWish) -> Network:
    """Record, rules, bridge, in this order: a crash in between leaves a record from which the next use goes on."""
    if wish.name in (*RESERVED, DEFAULT_NETWORK):
        raise MinirunError(f"operation is not permitted on predefined {wish.name} network")
    network = _record(instance, wish)
    try:
        tables.ensure(instance.store, instance.table, [network])
        driver_named(network.driver).ensure(instance, network)
    except BaseException:
        remove_network(instance, network)
        raise
    return network


def remove_network(instance: Instance, network: Network) -> None:
    """Done twice, or with the bridge gone already, it ends in the same."""
    store = instance.store
    if held := store.endpoints(network=network.id):
        names = [member.name for endpoint in held if (member := store.container(endpoint.sandbox))]
        raise ConflictError(
            f"error while removing network: network {network.name} has active endpoints ({', '.join(names)})",
            f"stop them first: minirun rm -f {' '.join(names)}",
        )
    if not remove_unused(instance, [network]):
        raise ConflictError(f"error while removing network: a container has just joined {network.name}")


def remove_unused(instance: Instance, networks: Iterable[Network]) -> list[Network]:
    """Of networks that nobody is in: what the driver made, record, rules. Returns those that nobody has just joined."""
    store = instance.store
    unused = [one for one in networks if not store.endpoints(network=one.id)]
    for network in unused:
        _unmake(instance, network)
    with store.write():
        gone = [one for one in unused if not store.endpoints(network=one.id)]
        for network in gone:
            store.delete_network(network.id)
            tell(store, "destroy", network)
        if gone:
            tables.refresh(store, instance.table)
    foreign.ensure(instance)  # their bridges are nobody's any more
    return gone


def _unmake(instance: Instance, network: Network) -> None:
    try:
        remove_leg(network)
        driver_named(network.driver).remove(instance, network)
    except NotFoundError as error:  # its package is gone: what it made is left to whoever has it
        print(f"minirun: {error.message}; what it may have made is left as it is", file=sys.stderr)


def _record(instance: Instance, wish: NetworkWish) -> Network:
    from minirun.network.ipam.pools import Surroundings, choose4, choose6  # networks are made seldom

    driver = driver_named(wish.driver)
    around = Surroundings.look() if driver.pools else None
    if around and driver.on_lan and wish.ipv4.subnet:
        around = replace(around, in_use=())
    store = instance.store
    with store.write():
        if (present := store.find_network(wish.name)) is not None and present.name == wish.name:
            if present.is_default:  # another first use was quicker
                return present
            raise ConflictError(f"network with name {wish.name} already exists")
        others = store.networks()
        network = Network(
            id=os.urandom(32).hex(),
            name=wish.name,
            created=time.time(),
            driver=wish.driver,
            pool=choose4(wish.ipv4, others, around, wish.name == DEFAULT_NETWORK) if around else None,
            pool6=choose6(wish.ipv6, others, around) if around and wish.ipv6 else None,
            internal=wish.internal,
            attachable=wish.attachable,
            labels=wish.labels,
            options=wish.options,
            env=wish.env,
        )
        network = driver.settle(instance, network)
        try:
            store.add_network(network)
            tell(store, "create", network)
        except sqlite3.IntegrityError as error:
            raise ConflictError(f"network {wish.name} collides with another one: {error}") from error
    return network
