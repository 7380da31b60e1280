"""Published ports lead to the container's gateway network: when that becomes another one, they follow."""

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from minirun.errors import MinirunError
from minirun.instance import Instance
from minirun.model import AnyAddress, Container, Endpoint, PortMapping, Publication
from minirun.network.modes.bridge import everywhere, publication, publishing_leg
from minirun.network.ports import host_ports, publish

Give = Callable[[list[socket.socket]], None]


@contextmanager
def retargeted(instance: Instance, container: Container, give: Give) -> Iterator[None]:
    """Have its ports on record lead where its endpoints say; the caller then brings the record in force. With none that
    leads outside they are withdrawn, and come back with the next one: `give` has the monitor hold them, by sockets of
    its own."""
    before = instance.store.ports(container=container.id)
    leg = _leg(instance, container)
    _move(instance, container, before, leg)
    held = publish.Held()
    try:
        if leg is not None and not before and container.spec.ports:
            held = _publish(instance, container, leg, give)
        yield
        held.shut(instance.store)
    finally:
        held.close()


def _move(instance: Instance, container: Container, before: list[Publication], leg: Endpoint | None) -> None:
    store = instance.store
    targets = {one.mapping: _target(leg, one.mapping) for one in before}
    if all(targets[one.mapping] == one.target for one in before):
        return
    with store.write():
        store.delete_ports(container.id)
        publish.withdraw(instance, before)
        for one in before:
            if (to := targets[one.mapping]) is not None:
                publish.record(store, replace(one, target=to))


def _publish(instance: Instance, container: Container, leg: Endpoint, give: Give) -> publish.Held:
    store = instance.store
    wishes = host_ports.Wishes(store.held(container.id), container.spec.ports)
    held = publish.hold(store, container.spec.ports, wishes, everywhere(instance, container.spec))
    try:
        give(held.sockets)
        with store.write():
            for mapping in held.mappings:
                publish.record(store, publication(container, leg, mapping))
    except BaseException:
        held.close()
        raise
    return held


def _leg(instance: Instance, container: Container) -> Endpoint | None:
    try:
        return publishing_leg(instance, container, instance.store.endpoints(sandbox=container.id))
    except MinirunError:
        return None


def _target(leg: Endpoint | None, mapping: PortMapping) -> AnyAddress | None:
    if leg is None or mapping.host_address is None:
        return None
    return leg.address6 if mapping.host_address.version == 6 else leg.address
