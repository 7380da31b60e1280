"""Published ports lead to the container's gateway network: when that becomes another one, they follow."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from minirun.errors import MinirunError
from minirun.instance import Instance
from minirun.light import socket
from minirun.light.dataclasses import replace
from minirun.model import AnyAddress, Container, Endpoint, PortMapping, Publication
from minirun.network import choice, ports
from minirun.network.attached import everywhere, publication, publishing_leg

Give = Callable[[list[socket.socket]], None]


@contextmanager
def retargeted(instance: Instance, container: Container, give: Give) -> Iterator[None]:
    """Have its ports on record lead where its endpoints say; the caller then brings the record in force. With none that
    leads outside they are withdrawn, and come back with the next one: `give` has the monitor hold them, by sockets of
    its own."""
    before = instance.store.ports(container=container.id)
    leg = _leg(instance, container)
    _move(instance, container, before, leg)
    held = ports.Held()
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
        ports.withdraw(instance, before)
        for one in before:
            if (to := targets[one.mapping]) is not None:
                ports.record(store, replace(one, target=to))


def _publish(instance: Instance, container: Container, leg: Endpoint, give: Give) -> ports.Held:
    store = instance.store
    wishes = choice.Wishes(store.held(container.id), container.spec.ports)
    held = ports.hold(store, container.spec.ports, wishes, everywhere(instance, container.spec))
    try:
        give(held.sockets)
        with store.write():
            for mapping in held.mappings:
                ports.record(store, publication(container, leg, mapping))
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
