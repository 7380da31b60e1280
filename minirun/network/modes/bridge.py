"""--net=bridge and --net=NAME: ethN in the order of the networks, the first that leads outside has the default route.

The same for the default bridge and for custom networks of any driver: what differs is the driver's.
"""

import errno
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from ipaddress import IPv4Address, ip_interface

from minirun.errors import FAILED, MinirunError
from minirun.instance import Instance
from minirun.kernel.netns import entered, netns_exists, netns_share
from minirun.kernel.sockets import link_state
from minirun.kernel.sysctl import sysctl_ensure
from minirun.model import (
    ANY_ADDRESS,
    ANY_ADDRESS6,
    DEFAULT_NETWORK,
    AnyAddress,
    Container,
    Endpoint,
    Network,
    NetworkRequest,
    Pool4,
    Pool6,
    PortMapping,
    Publication,
    Spec,
)
from minirun.network.default_network import default_network
from minirun.network.dns import veth
from minirun.network.drivers import driver_named
from minirun.network.drivers.bridge import HOST_BINDING
from minirun.network.events import tell
from minirun.network.ipam import allocations
from minirun.network.modes.none import add_namespace
from minirun.network.ports import publish
from minirun.store.lookup import find_network

Leg = tuple[Endpoint, Network]
_PATIENCE = 5.0  # seconds
# Off in the whole namespace until here (network/none.py). Its addresses and routes are the ones it is given.
_IPV6_ON = (("accept_ra", "0"), ("accept_dad", "0"), ("disable_ipv6", "0"))


class Attached:
    def validate(self, instance: Instance, spec: Spec) -> None:
        networks = [network_called(instance, name) for name in spec.network.names]
        if len({network.id for network in networks}) < len(networks):
            raise MinirunError("the same network is given twice", "give each --network once", FAILED)
        for network, attachment in zip(networks, spec.network.attachments, strict=True):
            allocations.check(network, attachment)

    def reserve(self, instance: Instance, container: Container) -> str:
        store = instance.store
        there = {end.network: end for end in store.endpoints(sandbox=container.id)}
        endpoints: list[Endpoint] = []
        for attachment in container.spec.network.attachments:
            network = network_called(instance, attachment.network)
            position = free_position([*there.values(), *endpoints])
            # When others have kept the namespace alive, its endpoints are there still.
            known = there.get(network.id)
            endpoints.append(known or allocations.lease(instance, container, position, network, attachment))
            tell(store, "connect", network, container)
        if container.spec.ports:
            leg = publishing_leg(instance, container, endpoints)
            for mapping in container.spec.ports:
                publish.record(store, publication(container, leg, mapping))
        return container.id

    def pin(self, instance: Instance, container: Container) -> str:
        others = [one.name for one in instance.store.members(container.id) if one.id != container.id]
        if pinned := next(filter(netns_exists, others), ""):
            netns_share(container.name, pinned)
        else:
            add_namespace(instance, container)
        return container.name

    def connect(self, instance: Instance, container: Container, undo: ExitStack) -> list[str]:
        # Here, so that they are read while the monitor already builds the container's tree.
        from minirun.network import ip_forward
        from minirun.network.firewall import foreign, tables

        store = instance.store
        endpoints = store.endpoints(sandbox=container.id)
        networks = [network for end in endpoints if (network := store.network(end.network))]
        # The guard chain must stand before a bridge with route_localnet does.
        tables.ensure(store, instance.table, networks, container.id)
        if any(one.protocol == "udp" for one in container.spec.ports):
            publish.settle_flows(store.ports(container=container.id))
        shared = len(store.members(container.id)) > 1
        plug(instance, container, list(zip(endpoints, networks, strict=True)), shared)
        return [*ip_forward.ensure(networks), *foreign.ensure(instance)]


def plug(instance: Instance, container: Container, legs: list[Leg], missing_only: bool) -> list[Endpoint]:
    """Have these legs of the namespace that is pinned under the container's name; with `missing_only` those that are
    there still stay as they are. Returns those that were not. Done twice, or by two at once, it ends in the same."""
    drivers = {name: driver_named(name) for name in {network.driver for _, network in legs}}
    plugged = []
    for endpoint, network in legs:
        driver = drivers[network.driver]
        driver.ensure(instance, network)
        if missing_only and driver.is_plugged(network, endpoint, container):
            continue
        done = driver.plug(instance, network, endpoint, container)
        if not driver.pools:
            instance.store.set_endpoint(done)
        plugged.append(done)
    if plugged:
        settle_inside(instance, container, legs, {end.position for end in plugged})
    return plugged


def settle_inside(instance: Instance, container: Container, legs: list[Leg], chosen: set[int]) -> list[Endpoint]:
    """Within the namespace: addresses and routes of the legs with these positions, and the way to the resolver. Returns
    those that lacked something."""
    mine = [leg for leg in legs if leg[0].position in chosen and driver_named(leg[1].driver).pools]
    if not mine:
        return []
    first = gateway_leg(container, legs)
    first6 = gateway_leg(container, [leg for leg in legs if leg[1].pool6])
    named = veth.first_named(legs)
    if named is not None:
        veth.ensure_leg(instance, named[1])
    lacking = []
    with entered(container.name):
        for endpoint, network in mine:
            changed = _configure(endpoint, network)
            for pool, leg in ((network.pool, first), (network.pool6, first6)):
                if pool and leg and leg.position == endpoint.position:
                    changed |= _add_default_route(endpoint, pool)
            if changed:
                lacking.append(endpoint)
        if named is not None and veth.ensure_route(named[0].interface):
            lacking.append(named[0])
    return list({end.position: end for end in lacking}.values())


def gateway_leg(container: Container, legs: list[Leg]) -> Endpoint | None:
    """Whose network has the default route."""
    first = gateway_network(container.spec.network, [network for _, network in legs])
    return next((end for end, network in legs if network is first), None)


def gateway_network(request: NetworkRequest, networks: Sequence[Network]) -> Network | None:
    """The first one by priority and order that leads anywhere."""
    priorities = {one.network: one.priority for one in request.attachments}
    outward = [network for network in networks if not network.internal]
    wanted = max((_priority(priorities, network) for network in outward), default=0)
    return next((network for network in outward if _priority(priorities, network) == wanted), None)


def _priority(priorities: dict[str, int], network: Network) -> int:
    return priorities.get(network.name, priorities.get(network.id, 0))


def everywhere(instance: Instance, spec: Spec) -> tuple[AnyAddress, ...]:
    """The host's addresses that a port is published on when none is said: all, of each family that the container has,
    or the one that its network says."""
    networks = [network_called(instance, name) for name in spec.network.names]
    network = _publishing(gateway_network(spec.network, networks))
    if binding := network.option(HOST_BINDING):
        return (IPv4Address(binding),)
    return (ANY_ADDRESS, ANY_ADDRESS6) if network.pool6 else (ANY_ADDRESS,)


def publishing_leg(instance: Instance, container: Container, endpoints: list[Endpoint]) -> Endpoint:
    """The one whose addresses the container's ports lead to."""
    legs = [(end, network) for end in endpoints if (network := instance.store.network(end.network))]
    first = gateway_leg(container, legs)
    _publishing(next((network for end, network in legs if end is first), None))
    assert first is not None, "checked in the line above"
    return first


def publication(container: Container, leg: Endpoint, mapping: PortMapping) -> Publication:
    """Where a port leads to whose mapping has an address."""
    assert mapping.host_address is not None, "it has been placed"
    target = leg.address6 if mapping.host_address.version == 6 else leg.address
    if target is None:
        raise MinirunError(
            f"cannot publish on {mapping.host}: container {container.name} has no IPv{mapping.host_address.version}"
            " address on its first network",
            "make a network with: minirun network create --ipv6",
            FAILED,
        )
    return Publication(container.id, container.id, mapping, target)


def _publishing(network: Network | None) -> Network:
    if network is None:
        raise MinirunError(
            "cannot publish ports: none of the container's networks leads outside",
            "leave out -p, or connect it to a network that is not --internal",
            FAILED,
        )
    if not network.bridge:
        raise MinirunError(
            f"cannot publish ports: on network {network.name} ({network.driver}) the container has an address of its"
            " own, which minirun does not translate",
            "leave out -p: the ports that the program listens on are there under that address",
            FAILED,
        )
    return network


def _configure(endpoint: Endpoint, network: Network) -> bool:
    """Inside the namespace: addresses, and up. False when all of it was there."""
    from minirun.kernel.links import address_add, link_route_add

    changed = fresh = False
    if endpoint.address6 is not None:
        for key, value in _IPV6_ON:
            changed |= sysctl_ensure(f"net/ipv6/conf/{endpoint.interface}/{key}", value)
        changed |= sysctl_ensure("net/ipv6/conf/lo/disable_ipv6", "0")
    for address, pool in ((endpoint.address, network.pool), (endpoint.address6, network.pool6)):
        if address is not None and pool is not None:
            with suppress(FileExistsError):
                address_add(endpoint.interface, ip_interface(f"{address}/{pool.subnet.prefixlen}"))
                fresh = True
    if not link_state(endpoint.interface)[1]:
        _up(endpoint.interface)
        changed = True
    if not fresh and endpoint.address is not None:  # an address brings its route, which may have gone without it
        with suppress(FileExistsError):
            link_route_add(endpoint.interface, network.subnet)
            changed = True
    return changed or fresh


def _up(name: str) -> None:
    """The hardware address of a macvlan is taken until the kernel has taken apart the namespace of the last start."""
    from minirun.kernel.links import link_up

    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            return link_up(name)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or time.monotonic() > deadline:
                raise
        time.sleep(0.005)


def replace_default_routes(container: Container, legs: list[Leg]) -> None:
    """Within the namespace: when another network has become the one that leads outside."""
    from minirun.kernel.links import default_route_replace

    six = [leg for leg in legs if leg[1].pool6]
    ways = [(gateway_leg(container, chosen), version) for chosen, version in ((legs, 4), (six, 6))]
    networks = {end.position: network for end, network in legs}
    with entered(container.name):
        for leg, version in ways:
            pool = leg and (networks[leg.position].pool if version == 4 else networks[leg.position].pool6)
            if leg and pool:
                default_route_replace(leg.interface, pool.gateway)


def _add_default_route(endpoint: Endpoint, pool: Pool4 | Pool6) -> bool:
    """False when there was one."""
    from minirun.kernel.links import default_route_add

    try:
        default_route_add(endpoint.interface, pool.gateway)
    except FileExistsError:
        return False
    return True


def free_position(endpoints: list[Endpoint]) -> int:
    held = {end.position for end in endpoints}
    return next(number for number in range(len(held) + 1) if number not in held)


def network_called(instance: Instance, name: str) -> Network:
    if name == DEFAULT_NETWORK:
        return default_network(instance)
    return find_network(instance.store, name, FAILED)
