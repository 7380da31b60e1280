"""Networks by name: create, remove, and the default one, which is created on first use."""

import os
import sqlite3
import sys
import time
from collections.abc import Iterable
from dataclasses import replace
from ipaddress import IPv4Network

from minirun.errors import FAILED, ConflictError, MinirunError, NotFoundError
from minirun.instance import Instance
from minirun.kernel.sockets import link_state
from minirun.model import (
    ANY_ADDRESS,
    DEFAULT_NETWORK,
    RESERVED_NETWORKS,
    Container,
    Network,
    NetworkCreateRequest,
    PoolRequest,
    Template,
)
from minirun.network.dns.veth import remove_veth
from minirun.network.drivers import driver_named
from minirun.network.drivers.bridge import BRIDGE_NAME, HOST_BINDING
from minirun.network.drivers.driver_options import MTU
from minirun.network.firewall import foreign, policy, tables
from minirun.network.ipam.pools import HostSubnets, choose4, choose6
from minirun.store import Store
from minirun.store.lookup import find_network


def network_by_name(instance: Instance, name: str) -> Network:
    """Return the network with this name or id; the default one is recorded on first use. NotFoundError (exit 125)."""
    if name == DEFAULT_NETWORK:
        return default_network(instance)
    return find_network(instance.store, name, FAILED)


def default_network(instance: Instance) -> Network:
    """Return the network `bridge`, recorded on first use. The driver creates its bridge, as any other network's."""
    network = instance.store.find_network(DEFAULT_NETWORK)
    if network is None:
        return _record(instance, NetworkCreateRequest(DEFAULT_NETWORK))
    return network if link_state(network.bridge)[0] else _choose_free_subnet(instance, network)


def create_network(instance: Instance, request: NetworkCreateRequest) -> Network:
    """Create a network: its record, its rules, then what its driver makes on the host.

    A crash in between leaves a record, from which the next use continues. ConflictError when the name or the subnet is
    taken; MinirunError for options that the driver refuses.
    """
    if request.name in (*RESERVED_NETWORKS, DEFAULT_NETWORK):
        raise MinirunError(f"operation is not permitted on predefined {request.name} network")
    if request.config_only:
        return _record_template(instance, request)
    if request.config_from:
        request = _with_configuration(instance, request)
    network = _record(instance, request)
    try:
        tables.ensure(instance.store, instance.table, [network])
        driver_named(network.driver).ensure(instance, network)
    except BaseException:
        remove_network(instance, network)
        raise
    return network


def remove_network(instance: Instance, network: Network) -> None:
    """Remove an unused network. Idempotent. ConflictError when containers or other networks use it."""
    store = instance.store
    if network.template and any(other.config_from == network.name for other in store.networks()):
        raise ConflictError(f'configuration network "{network.name}" is in use')
    if used := store.endpoints(network=network.id):
        names = [member.name for endpoint in used if (member := store.container(endpoint.sandbox))]
        raise ConflictError(
            f"error while removing network: network {network.name} has active endpoints ({', '.join(names)})",
            f"stop them first: minirun rm -f {' '.join(names)}",
        )
    if not remove_unused(instance, [network]):
        raise ConflictError(f"error while removing network: a container has just joined {network.name}")


def remove_unused(instance: Instance, networks: Iterable[Network]) -> list[Network]:
    """Remove those of `networks` that no container is connected to, and return them."""
    store = instance.store
    unused = [network for network in networks if not store.endpoints(network=network.id)]
    for network in unused:
        _remove_from_host(instance, network)
    with store.write():
        removed = [network for network in unused if not store.endpoints(network=network.id)]  # asked again: see above
        for network in removed:
            store.delete_network(network.id)
            add_event(store, "destroy", network)
        if removed:
            tables.refresh(store, instance.table)
    foreign.ensure(instance)  # accept rules for the removed bridges go, too
    return removed


def add_event(store: Store, action: str, network: Network, container: Container | None = None) -> None:
    """Record an event in Docker's words, within the transaction that changes the record.

    `action` is create or destroy, or connect or disconnect of `container`.
    """
    member = {"container": container.id} if container else {}
    store.add_event("network", action, network.id, {**member, "name": network.name, "type": network.driver})


def _remove_from_host(instance: Instance, network: Network) -> None:
    if network.template:
        return
    try:
        remove_veth(network)
        driver_named(network.driver).remove(instance, network)
    except NotFoundError as error:  # the driver's package was uninstalled: nobody knows what it created
        print(f"minirun: {error.message}; what it created on this host is left as it is", file=sys.stderr)


def _choose_free_subnet(instance: Instance, network: Network) -> Network:
    """Choose another subnet for the default network when something else has taken its own.

    While its bridge does not exist (before the first container, or since a reboot) another runtime cannot see that the
    subnet is in use. A network with endpoints keeps its subnet.
    """
    host_subnets = HostSubnets.read()
    store = instance.store
    if any(subnet.overlaps(network.subnet) for subnet, _ in host_subnets.in_use if isinstance(subnet, IPv4Network)):
        with store.write():
            others = [other for other in store.networks() if other.id != network.id]
            if not store.endpoints(network=network.id):
                network = replace(network, pool=choose4(PoolRequest(), others, host_subnets, is_default=True))
                store.set_pool(network)
    return network


def _record_template(instance: Instance, request: NetworkCreateRequest) -> Network:
    """Record a configuration-only network. The errors are Docker's."""
    if request.config_from:
        raise MinirunError("a configuration network cannot depend on another configuration network")
    if request.internal or request.attachable:
        raise MinirunError(
            "configuration network can only contain network specific fields. Network operator fields like"
            " [ ingress | internal | attachable | scope ] are not supported."
        )
    if request.owner is not None:
        raise MinirunError("a configuration network has no owner: --owner-pid is for networks that exist on the host")
    if request.driver != "bridge":
        raise MinirunError(f"a configuration network has no driver: give --driver {request.driver} with --config-from")
    network = Network(
        os.urandom(32).hex(),
        request.name,
        time.time(),
        "null",
        labels=request.labels,
        options=request.options,
        env=request.env,
        template=Template(request.ipv4, request.ipv6),
    )
    with instance.store.write():
        if any(other.name == request.name for other in instance.store.find_networks(request.name)):
            raise ConflictError(f"network with name {request.name} already exists")
        instance.store.add_network(network)
        add_event(instance.store, "create", network)
    return network


def _with_configuration(instance: Instance, request: NetworkCreateRequest) -> NetworkCreateRequest:
    """Return the request with what its configuration-only network says. The errors are Docker's."""
    source = find_network(instance.store, request.config_from)
    if source.template is None:
        raise MinirunError(f'the network "{source.name}" is not a configuration network')
    if request.ipv4 != PoolRequest() or request.ipv6 or request.labels or request.options or request.env:
        raise MinirunError(
            "user specified configurations are not supported if the network depends on a configuration network",
            f"give them to {source.name}",
        )
    return replace(
        request,
        ipv4=source.template.ipv4,
        ipv6=source.template.ipv6,
        labels=source.labels,
        options=source.options,
        env=source.env,
        config_from=source.name,
    )


def _record(instance: Instance, request: NetworkCreateRequest) -> Network:
    driver = driver_named(request.driver)
    host_subnets = HostSubnets.read() if driver.uses_ipam else None
    if host_subnets and driver.on_lan and request.ipv4.subnet:
        host_subnets = replace(host_subnets, in_use=())
    store = instance.store
    with store.write():
        existing = store.find_network(request.name)
        if existing is not None and existing.name == request.name:
            if existing.is_default:  # another process used it first
                return existing
            raise ConflictError(f"network with name {request.name} already exists")
        others = store.networks()
        network = Network(
            id=os.urandom(32).hex(),
            name=request.name,
            created=time.time(),
            driver=request.driver,
            pool=choose4(request.ipv4, others, host_subnets, request.name == DEFAULT_NETWORK) if host_subnets else None,
            pool6=choose6(request.ipv6, others, host_subnets) if host_subnets and request.ipv6 else None,
            internal=request.internal,
            attachable=request.attachable,
            labels=request.labels,
            options=request.options,
            env=request.env,
            config_from=request.config_from,
        )
        network = driver.validate(instance, network)
        try:
            store.add_network(network)
            if request.owner is not None:
                store.set_owner("network", network.id, request.owner)
            add_event(store, "create", network)
        except sqlite3.IntegrityError as error:
            raise ConflictError(f"network {request.name} collides with another network: {error}") from error
    return network


def options_of(network: Network) -> dict[str, str]:
    """Return the options of `network inspect`: the given ones, and of the default bridge Docker's six."""
    rules = policy.Policy.of(network)
    default = {
        "com.docker.network.bridge.default_bridge": "true",
        policy.ICC: str(rules.icc).lower(),
        policy.MASQUERADE: str(rules.masquerade).lower(),
        HOST_BINDING: network.option(HOST_BINDING, str(ANY_ADDRESS)),
        BRIDGE_NAME: network.bridge,
        MTU: str(network.mtu),
    }
    own = {"minirun.bridge.name": network.bridge, "minirun.mtu": str(network.mtu)}
    return {**(default if network.is_default else {}), **dict(network.options), **own}
