"""Networks by name: making them, removing them, and the default one, which is made on first use."""

import os
import sqlite3
import time
from ipaddress import IPv4Address, IPv4Network

from minirun.errors import ConflictError, MinirunError
from minirun.instance import Instance
from minirun.kernel.nft import nft_apply
from minirun.lookup import find_network
from minirun.model import DEFAULT_NETWORK, Network
from minirun.network import firewall, ipam

RESERVED = ("host", "none", "container", "default")


def default_network(instance: Instance) -> Network:
    """The network `bridge`; on first use it is put on record. Its bridge is made by the driver, as for any other."""
    found = instance.store.find_network(DEFAULT_NETWORK)
    if found is None:
        return _record(instance, DEFAULT_NETWORK, instance.default_bridge, None, None)
    return found


def create_network(instance: Instance, name: str, subnet: IPv4Network | None, gateway: IPv4Address | None) -> Network:
    """Record, rules, bridge, in this order: a crash in between leaves a record from which the next use goes on."""
    from minirun.kernel.netlink import Netlink
    from minirun.network.bridge import ensure_bridge

    if name in (*RESERVED, DEFAULT_NETWORK):
        raise MinirunError(f"operation is not permitted on predefined {name} network")
    network = _record(instance, name, "", subnet, gateway)
    netlink = Netlink()
    try:
        firewall.ensure(instance.store, instance.table, [network])
        ensure_bridge(netlink, instance, network)
    except BaseException:
        remove_network(instance, network)
        raise
    finally:
        netlink.close()
    return network


def remove_network(instance: Instance, network: Network) -> None:
    """Bridge, record, rules. Done twice, or with the bridge gone already, it ends in the same."""
    from minirun.kernel.links import link_del
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
        link_del(netlink, network.bridge)
    finally:
        netlink.close()
    with store.write():
        if store.endpoints(network=network.id):
            raise ConflictError(f"error while removing network: a container has just joined {network.name}")
        store.delete_network(network.id)
        nft_apply(firewall.render(instance.table, store.networks(), store.ports()))


def _record(
    instance: Instance, name: str, bridge: str, subnet: IPv4Network | None, gateway: IPv4Address | None
) -> Network:
    from minirun.kernel.links import networks_in_use
    from minirun.kernel.netlink import Netlink

    netlink = Netlink()
    try:
        in_use = list(networks_in_use(netlink))
    finally:
        netlink.close()
    store = instance.store
    with store.write():
        if (present := store.find_network(name)) is not None and present.name == name:
            if name == DEFAULT_NETWORK:  # another first use was quicker
                return present
            raise ConflictError(f"network with name {name} already exists")
        known = [(network.subnet, f"network {network.name}") for network in store.networks()]
        chosen = _subnet(subnet, [*known, *in_use])
        identity = os.urandom(32).hex()
        network = Network(
            id=identity,
            name=name,
            subnet=chosen,
            gateway=_gateway(chosen, gateway),
            bridge=bridge or f"mr-{identity[:10]}",
            created=time.time(),
        )
        try:
            store.add_network(network)
        except sqlite3.IntegrityError as error:
            raise ConflictError(f"network {name} collides with another one: {error}") from error
    return network


def _subnet(wanted: IPv4Network | None, taken: list[tuple[IPv4Network, str]]) -> IPv4Network:
    if wanted is None:
        return ipam.free_subnet(network for network, _ in taken)
    if wanted.prefixlen > 30:
        raise MinirunError(f"invalid subnet {wanted}: it has no room for a gateway and a container")
    for network, owner in taken:
        if wanted.overlaps(network):
            raise ConflictError(
                f"invalid pool request: Pool overlaps with other one on this address space: {wanted} and {network},"
                f" which is held by {owner}"
            )
    return wanted


def _gateway(subnet: IPv4Network, wanted: IPv4Address | None) -> IPv4Address:
    if wanted is None:
        return subnet.network_address + 1
    if wanted not in subnet or wanted in (subnet.network_address, subnet.broadcast_address):
        raise MinirunError(f"invalid gateway {wanted}: it is not a host address of {subnet}")
    return wanted


__all__ = ["create_network", "default_network", "find_network", "remove_network"]
