"""Updating the network of an existing container: what the update needs of the engine, and applying its record.

connect, disconnect (network/membership.py), publish and unpublish (network/ports/publish.py) change the record of a
stopped container, for its next start. For a running one the order is: the shim is told, the record is written, the
record is applied. Killed at any step, the shim sees the command go and applies the record itself.
"""

import socket
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Protocol

from minirun.errors import MinirunError
from minirun.instance import Instance
from minirun.model import AnyAddress, Container, Endpoint, PortMapping, Publication
from minirun.network import endpoints, etc_files
from minirun.network.ports import reservations
from minirun.network.ports.mappings import PreviousPorts, default_addresses, publishing_endpoint, target_address

SendSockets = Callable[[list[socket.socket]], None]  # to the shim, which keeps port reservations


class ContainerUpdate(Protocol):
    """What the engine does for an update: it knows which run of a container is meant, and how to reach its shim."""

    instance: Instance
    container: Container
    """The container's record as the command first read it."""

    @property
    def is_active(self) -> bool:
        """Whether the container runs, so that the update takes effect at once."""

    def current(self) -> Container:
        """Read the record again. MinirunError when the container was started or has ended meanwhile."""

    def announced(self) -> AbstractContextManager[SendSockets]:
        """Within the context, the shim knows of the update. At its end the shim keeps what is on record, no more."""


def apply_update(instance: Instance, container: Container, send: SendSockets) -> list[str]:
    """Apply a running container's record: rules, interfaces, addresses, routes, /etc files. Return notes for the user.

    Ports follow the container's gateway network to another address. With no network that can publish they are
    withdrawn, and published again with the next one, under new reservations that go to the shim by `send`.
    """
    store = instance.store
    before = store.ports(container=container.id)
    endpoint = _publishing_endpoint(instance, container)
    _remap(instance, container, before, endpoint)
    reserved = reservations.PortReservations()
    try:
        if endpoint is not None and not before and container.spec.ports:
            reserved = _publish_again(instance, container, endpoint, send)
        notes = endpoints.apply(instance, container, missing_only=True)
        endpoints.configure_all(instance, container)
        for member in store.members(container.id):
            etc_files.renew_files(instance, container, instance.container_dir(member.id))
        reserved.shut(store)
    finally:
        reserved.close()
    return notes


def _remap(instance: Instance, container: Container, before: list[Publication], endpoint: Endpoint | None) -> None:
    """Let published ports lead to `endpoint`; withdraw those for whose address family it has no address."""
    store = instance.store
    targets = {publication.mapping: _target(endpoint, publication.mapping) for publication in before}
    if all(targets[publication.mapping] == publication.target for publication in before):
        return
    with store.write():
        store.delete_ports(container.id)
        reservations.withdraw(instance, before)
        for publication in before:
            if (target := targets[publication.mapping]) is not None:
                reservations.record(store, replace(publication, target=target))


def _publish_again(
    instance: Instance, container: Container, endpoint: Endpoint, send: SendSockets
) -> reservations.PortReservations:
    store, ports = instance.store, container.spec.ports
    previous = PreviousPorts(store.held(container.id), ports)
    reserved = reservations.reserve(store, ports, previous, default_addresses(instance, container.spec))
    try:
        send(reserved.sockets)
        with store.write():
            reservations.record_mappings(instance, container, reserved.mappings, [endpoint])
    except BaseException:
        reserved.close()
        raise
    return reserved


def _publishing_endpoint(instance: Instance, container: Container) -> Endpoint | None:
    try:
        return publishing_endpoint(instance, container, instance.store.endpoints(sandbox=container.id))
    except MinirunError:
        return None


def _target(endpoint: Endpoint | None, mapping: PortMapping) -> AnyAddress | None:
    if endpoint is None or mapping.host_address is None:
        return None
    return target_address(endpoint, mapping)
