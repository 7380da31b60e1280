"""A container's endpoints in its network namespace: interfaces, addresses and routes, applied from the record.

Used by a start, by connect and disconnect, and by repair. Every function here may run twice, or in two processes at
once, with the same result.
"""

import errno
import time
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from ipaddress import ip_interface

from minirun.errors import FAILED, ConflictError
from minirun.instance import Instance
from minirun.kernel.links import address_add, default_route_add, default_route_replace, link_route_add, link_up
from minirun.kernel.netns import entered
from minirun.kernel.sockets import link_state
from minirun.kernel.sysctl import sysctl_ensure
from minirun.model import (
    INTERFACE_NAME,
    Attachment,
    Container,
    Endpoint,
    Network,
    NetworkRequest,
    Pool4,
    Pool6,
)
from minirun.network import sysctls
from minirun.network.dns import veth
from minirun.network.dns.veth import EndpointInNetwork
from minirun.network.drivers import driver_named
from minirun.network.drivers.bridge import enable_forwarding
from minirun.network.drivers.driver_options import INTERFACE_PREFIX
from minirun.network.firewall import foreign, tables
from minirun.network.ports.udp_conntrack import delete_stale_flows
from minirun.network.shapes import shape_new

_MAC_SECONDS = 5.0  # how long to wait for a hardware address that a dying namespace still uses
# IPv6 is off in a new namespace (network/sandbox.py) until an endpoint has an IPv6 address, which minirun assigns.
_IPV6_ON = (("accept_ra", "0"), ("accept_dad", "0"), ("disable_ipv6", "0"))


def apply(instance: Instance, container: Container, missing_only: bool) -> list[str]:
    """Apply the container's recorded endpoints and ports: rules, interfaces, addresses, routes.

    With `missing_only`, interfaces that are still attached stay as they are. Returns notes for the user, such as a
    kernel setting that was changed.
    """
    store = instance.store
    own = veth.endpoints_with_networks(instance, container.id)
    networks = [network for _, network in own]
    # Rules first: the guard chain must stand before a bridge with route_localnet does.
    tables.ensure(store, instance.table, networks, container.id)
    delete_stale_flows(store.ports(container=container.id))
    attach(instance, container, own, missing_only)
    return [*enable_forwarding(networks), *foreign.ensure(instance)]


def attach(
    instance: Instance, container: Container, own: list[EndpointInNetwork], missing_only: bool
) -> list[Endpoint]:
    """Attach endpoints of the namespace pinned under the container's name. Return those that were not attached."""
    drivers = {name: driver_named(name) for name in {network.driver for _, network in own}}
    attached = []
    for endpoint, network in own:
        driver = drivers[network.driver]
        driver.ensure(instance, network)
        if missing_only and driver.is_attached(network, endpoint, container):
            continue
        result = driver.attach(instance, network, endpoint, container)
        if not driver.uses_ipam:
            instance.store.set_endpoint(result)
        attached.append(result)
    if attached:
        configure(instance, container, own, {endpoint.position for endpoint in attached})
        sysctls.set_for_interfaces(container, attached)
        shape_new(instance, attached[0].sandbox, attached)
    return attached


def configure(
    instance: Instance, container: Container, own: list[EndpointInNetwork], positions: Collection[int]
) -> list[Endpoint]:
    """Within the namespace: set addresses and routes of the endpoints at `positions`, and the DNS server's route.

    `own` is all endpoints of the namespace. Returns those of which something was missing.
    """
    chosen = [pair for pair in own if pair[0].position in positions and driver_named(pair[1].driver).uses_ipam]
    if not chosen:
        return []
    gateway = gateway_endpoint(container, own)
    gateway6 = gateway_endpoint(container, [pair for pair in own if pair[1].pool6])
    named = veth.first_with_names(own)
    if named is not None:
        veth.ensure_veth(instance, named[1])
    incomplete = []
    with entered(container.name):
        for endpoint, network in chosen:
            changed = _configure_interface(endpoint, network)
            for pool, by in ((network.pool, gateway), (network.pool6, gateway6)):
                if pool and by and by.position == endpoint.position:
                    changed |= _add_default_route(endpoint, pool)
            if changed:
                incomplete.append(endpoint)
        if named is not None and veth.ensure_route(named[0].interface):
            incomplete.append(named[0])
    return list({endpoint.position: endpoint for endpoint in incomplete}.values())


def configure_all(instance: Instance, container: Container) -> None:
    """Complete the configuration of every endpoint, and move the default routes when the gateway network changed."""
    own = veth.endpoints_with_networks(instance, container.id)
    configure(instance, container, own, {endpoint.position for endpoint, _ in own})
    with6 = [pair for pair in own if pair[1].pool6]
    networks = {endpoint.position: network for endpoint, network in own}
    with entered(container.name):
        for endpoint, version in ((gateway_endpoint(container, own), 4), (gateway_endpoint(container, with6), 6)):
            if endpoint is None:
                continue
            network = networks[endpoint.position]
            if pool := network.pool if version == 4 else network.pool6:
                default_route_replace(endpoint.interface, pool.gateway)


def gateway_endpoint(container: Container, own: Iterable[EndpointInNetwork]) -> Endpoint | None:
    """Return the endpoint whose network provides the default route."""
    own = list(own)
    gateway = gateway_network(container.spec.network, [network for _, network in own])
    return next((endpoint for endpoint, network in own if network is gateway), None)


def gateway_network(request: NetworkRequest, networks: Sequence[Network]) -> Network | None:
    """Return the network that provides the default route: of the highest priority, and the first of these."""
    priorities = {attachment.network: attachment.priority for attachment in request.attachments}
    outward = [network for network in networks if not network.internal]
    highest = max((_priority(priorities, network) for network in outward), default=0)
    return next((network for network in outward if _priority(priorities, network) == highest), None)


def free_place(
    taken: Collection[Endpoint], container: Container, network: Network, attachment: Attachment
) -> tuple[int, str]:
    """Return a new endpoint's position, and its interface's name if that is not ethN of the position.

    The name is the requested one, or the network's prefix (by default eth) with the lowest number for which the name is
    free. ConflictError when the requested one is in use.
    """
    position = _lowest_free({endpoint.position for endpoint in taken})
    used = {endpoint.interface for endpoint in taken}
    name = attachment.interface
    if name in used:
        raise ConflictError(
            f"the container has an interface {name} already", f"choose another {INTERFACE_NAME}", FAILED
        )
    if not name:
        used |= {other.interface for other in container.spec.network.attachments}
        prefix = network.option(INTERFACE_PREFIX, "eth")
        name = f"{prefix}{_lowest_free(number for number in range(len(used) + 1) if f'{prefix}{number}' in used)}"
    return position, "" if name == f"eth{position}" else name


def _lowest_free(numbers: Iterable[int]) -> int:
    taken = set(numbers)
    return next(number for number in range(len(taken) + 1) if number not in taken)


def _priority(priorities: dict[str, int], network: Network) -> int:
    return priorities.get(network.name, priorities.get(network.id, 0))


def _configure_interface(endpoint: Endpoint, network: Network) -> bool:
    """Add addresses and set the link up. Return whether anything changed."""
    changed = added = False
    if endpoint.address6 is not None:
        for key, value in _IPV6_ON:
            changed |= sysctl_ensure(f"net/ipv6/conf/{endpoint.interface}/{key}", value)
        changed |= sysctl_ensure("net/ipv6/conf/lo/disable_ipv6", "0")
    for address, pool in ((endpoint.address, network.pool), (endpoint.address6, network.pool6)):
        if address is not None and pool is not None:
            with suppress(FileExistsError):
                address_add(endpoint.interface, ip_interface(f"{address}/{pool.subnet.prefixlen}"))
                added = True
    if not link_state(endpoint.interface)[1]:
        _set_up(endpoint.interface)
        changed = True
    if not added and endpoint.address is not None:  # an address brings its subnet's route, which may have been deleted
        with suppress(FileExistsError):
            link_route_add(endpoint.interface, network.subnet)
            changed = True
    return changed or added


def _set_up(name: str) -> None:
    """Set a link up. A macvlan's hardware address is in use until the kernel has destroyed the last run's namespace."""
    deadline = time.monotonic() + _MAC_SECONDS
    while True:
        try:
            return link_up(name)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or time.monotonic() > deadline:
                raise
        time.sleep(0.005)


def _add_default_route(endpoint: Endpoint, pool: Pool4 | Pool6) -> bool:
    """Add the default route by `endpoint`. Return False when there is one."""
    try:
        default_route_add(endpoint.interface, pool.gateway)
    except FileExistsError:
        return False
    return True
