"""Publishing and unpublishing ports of an existing container: at once if it runs, else for its next start."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import replace

from minirun.errors import ConflictError, MinirunError, NotFoundError
from minirun.instance import Instance
from minirun.model import Container, Endpoint, Mode, PortMapping
from minirun.network.drivers.bridge import allow_hairpin
from minirun.network.firewall import tables
from minirun.network.ports import reservations
from minirun.network.ports.mappings import (
    PreviousPorts,
    default_addresses,
    is_reserved,
    port_numbers,
    publishing_endpoint,
)
from minirun.network.ports.udp_conntrack import delete_stale_flows
from minirun.network.update import ContainerUpdate


def publish(update: ContainerUpdate, mapping: PortMapping) -> list[PortMapping]:
    """Publish one more port or range. Return the placed mappings; of a stopped container, the request.

    ConflictError when the port is taken, MinirunError when the container has no address of its own.
    """
    instance = update.instance
    _refuse_without_address(instance, update.container)
    if update.is_active:
        return _publish_now(update, mapping)
    with instance.store.write():
        container = update.current()
        for other in container.spec.ports:
            if _overlaps(mapping, other):
                raise ConflictError(f"port {other.place}/{other.protocol} is published by {container.name} already")
        _set_ports(instance, container, (*container.spec.ports, mapping))
    return [mapping]


def unpublish(update: ContainerUpdate, place: PortMapping) -> None:
    """Unpublish what is published at `place`; a place without an address means every address.

    NotFoundError when nothing is published there, MinirunError for a part of a range.
    """
    instance, store = update.instance, update.instance.store
    if not update.is_active:
        with store.write():
            container = update.current()
            previous = PreviousPorts(store.held(container.id), container.spec.ports)
            known = [(mapping, _as_started(mapping, previous)) for mapping in container.spec.ports]
            removed = _published_at(container, [started for _, started in known], place)
            _set_ports(instance, container, [mapping for mapping, started in known if started not in removed])
        return
    with update.announced(), store.write():
        container = update.current()
        published = store.ports(container=container.id)
        mappings = [publication.mapping for publication in published]
        removed = _published_at(container, mappings, place)
        for mapping in removed:
            store.delete_port(mapping)
        _set_ports(instance, container, _without(container.spec.ports, mappings, removed))
        _keep_numbers(instance, container)
        reservations.withdraw(instance, [port for port in published if port.mapping in removed])


def _publish_now(update: ContainerUpdate, mapping: PortMapping) -> list[PortMapping]:
    instance, store = update.instance, update.instance.store
    reserved = reservations.reserve(store, [mapping], None, default_addresses(instance, update.container.spec))
    try:
        with update.announced() as send:
            _raise_shim_limit(instance, update.container, len(reserved.sockets))
            send(reserved.sockets)
            with store.write():
                container = update.current()
                endpoint = publishing_endpoint(instance, container, store.endpoints(sandbox=container.id))
                reservations.record_mappings(instance, container, reserved.mappings, [endpoint])
                _set_ports(instance, container, (*container.spec.ports, mapping))
                _keep_numbers(instance, container)
            _apply(instance, container, endpoint, reserved, mapping)
    finally:
        reserved.close()
    return reserved.mappings


def _raise_shim_limit(instance: Instance, container: Container, added: int) -> None:
    """Let the shim open so many more sockets."""
    mappings = [publication.mapping for publication in instance.store.ports(container=container.id)]
    sockets = added + sum(mapping.count for mapping in mappings if is_reserved(mapping))
    if sockets > reservations.MAX_LOW_SOCKETS and container.shim is not None:
        reservations.raise_file_limit(container.shim.pid, sockets)


def _apply(
    instance: Instance,
    container: Container,
    endpoint: Endpoint,
    reserved: reservations.PortReservations,
    mapping: PortMapping,
) -> None:
    """Apply the recorded ports. On failure take this one off the record again; the shim then applies that."""
    store = instance.store
    try:
        allow_hairpin(endpoint)
        tables.ensure(store, instance.table, [], container.id)
        delete_stale_flows(store.ports(container=container.id))
        reserved.shut(store)
    except BaseException:
        with store.write():
            for placed in reserved.mappings:
                store.delete_port(placed)
            current = store.container(container.id)
            if current is not None:
                _set_ports(instance, current, [other for other in current.spec.ports if other != mapping])
        raise


def _refuse_without_address(instance: Instance, container: Container) -> None:
    network = container.spec.network
    if network.mode is Mode.BRIDGE:
        return
    owner = instance.store.container(container.sandbox) if network.mode is Mode.CONTAINER else None
    owner_name = owner.name if owner else network.container
    reason, hint = {
        Mode.HOST: ("it is in the host's network: the ports it listens on are the host's already", ""),
        Mode.NONE: ("it has no network, and so no address", "run it with --net=bridge"),
        Mode.CONTAINER: (f"its addresses belong to {owner_name}", f"minirun port add {owner_name} ..."),
    }[network.mode]
    raise MinirunError(f"cannot publish a port of {container.name}: {reason}", hint)


def _set_ports(instance: Instance, container: Container, mappings: Iterable[PortMapping]) -> None:
    instance.store.set_spec(container.id, replace(container.spec, ports=tuple(mappings)))


def _keep_numbers(instance: Instance, container: Container) -> None:
    """Record the published port numbers, which the next start tries first."""
    kept = {key: text for key, text in instance.store.held(container.id).items() if "/" not in key}
    mappings = [publication.mapping for publication in instance.store.ports(container=container.id)]
    instance.store.set_values(container.id, held=json.dumps(kept | port_numbers(mappings)))


def _as_started(mapping: PortMapping, previous: PreviousPorts) -> PortMapping:
    """Return a requested mapping as its last start placed it; of a container that never ran, the request."""
    number = previous.take(mapping)
    return replace(mapping, host_port=number, host_last=0) if number else mapping


def _published_at(container: Container, mappings: Iterable[PortMapping], place: PortMapping) -> list[PortMapping]:
    """Return the mappings that are published exactly at `place`."""
    overlapping = [
        mapping
        for mapping in mappings
        if mapping.protocol == place.protocol
        and place.host_address in (None, mapping.host_address)
        and _share_ports(mapping, place)
    ]
    for mapping in overlapping:
        if mapping.host_ports != place.host_ports:
            raise MinirunError(
                f"{place.place}/{place.protocol} is not what was published: {mapping.place}/{mapping.protocol} is",
                f"minirun port rm {container.name} {mapping.place.rpartition(':')[2]}/{mapping.protocol}",
            )
    if not overlapping:
        raise NotFoundError(
            f"No public port '{place.place if place.host_address else place.place.rpartition(':')[2]}/{place.protocol}'"
            f" published for {container.name}",
            f"minirun port {container.name} lists them",
        )
    return overlapping


def _without(
    requested: Iterable[PortMapping], published: Iterable[PortMapping], removed: list[PortMapping]
) -> Iterator[PortMapping]:
    """Yield the requests that remain. One on every address, of which some are removed, becomes one for each left."""
    requested, left = list(requested), list(published)
    placed_of: dict[int, list[PortMapping]] = {}
    for number, request in sorted(enumerate(requested), key=lambda item: _openness(item[1])):
        fitting = [placed for placed in left if _is_placed(placed, request)]
        placed_of[number] = [placed for placed in fitting if placed.host_port == fitting[0].host_port]
        left = [placed for placed in left if placed not in placed_of[number]]
    for number, request in enumerate(requested):
        if not any(placed in removed for placed in placed_of[number]):
            yield request
            continue
        remaining = (placed for placed in placed_of[number] if placed not in removed)
        yield from (replace(request, host_address=placed.host_address) for placed in remaining)


def _openness(request: PortMapping) -> int:
    """Rank requests: a published port belongs to the request that names its place most exactly."""
    return 0 if request.is_fixed else 1 if request.host_last else 2


def _is_placed(placed: PortMapping, request: PortMapping) -> bool:
    """Return whether a published mapping may be the one that `request` led to."""
    first, last = (request.host_port, request.host_last or request.host_port) if request.host_port else (1, 65535)
    return (
        (placed.protocol, placed.container_port, placed.count)
        == (request.protocol, request.container_port, request.count)
        and request.host_address in (None, placed.host_address)
        and first <= placed.host_port <= last
    )


def _overlaps(mapping: PortMapping, other: PortMapping) -> bool:
    """Return whether two requests collide, as far as that is known before they are placed."""
    if mapping.protocol != other.protocol or not (mapping.is_fixed and other.is_fixed):
        return False
    addresses = (mapping.host_address, other.host_address)
    everywhere = any(address is None or address.is_unspecified for address in addresses)
    return _share_ports(mapping, other) and (everywhere or addresses[0] == addresses[1])


def _share_ports(mapping: PortMapping, other: PortMapping) -> bool:
    return mapping.host_port <= other.last_port and other.host_port <= mapping.last_port
