"""Publishing after the fact: ports of a container that runs, at once, and of one that is stopped, for its next start.

Of a running one the monitor holds the sockets. It is told first, then the record is written, then the rules (see
changing.py).
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import replace

from minirun.engine.hot_update import changing, unchanged
from minirun.engine.liveness import past_its_start
from minirun.engine.protocol import MANY, send_sockets
from minirun.errors import ConflictError, MinirunError, NotFoundError
from minirun.instance import Instance
from minirun.kernel.netlink import Netlink
from minirun.model import ACTIVE, Container, Endpoint, Mode, PortMapping
from minirun.network.modes.bridge import everywhere, publication, publishing_leg
from minirun.network.ports import host_ports, publish
from minirun.store import Store


def add(instance: Instance, container: Container, mapping: PortMapping) -> list[PortMapping]:
    """The mappings as they are in force; of a stopped container, as they will be asked for."""
    _refuse_without_address(instance, container)
    container = past_its_start(instance, container)
    if container.status in ACTIVE:
        return _add_in_force(instance, container, mapping)
    with instance.store.write():
        container = unchanged(instance, container)
        for other in container.spec.ports:
            if _overlaps(mapping, other):
                raise ConflictError(f"port {other.place}/{other.protocol} is published by {container.name} already")
        _set_ports(instance, container, (*container.spec.ports, mapping))
    return [mapping]


def remove(instance: Instance, container: Container, place: PortMapping) -> None:
    """`place` is where it is published; without an address, on every one."""
    container = past_its_start(instance, container)
    if container.status not in ACTIVE:
        with instance.store.write():
            container = unchanged(instance, container)
            wishes = host_ports.Wishes(instance.store.held(container.id), container.spec.ports)
            known = [(one, _as_started(one, wishes)) for one in container.spec.ports]
            gone = _chosen(container, [started for _, started in known], place)
            _set_ports(instance, container, [one for one, started in known if started not in gone])
        return
    with changing(instance, container), instance.store.write():
        container = unchanged(instance, container)
        published = instance.store.ports(container=container.id)
        mappings = [one.mapping for one in published]
        gone = _chosen(container, mappings, place)
        for mapping in gone:
            instance.store.delete_port(mapping)
        _set_ports(instance, container, _without(container.spec.ports, mappings, gone))
        _keep_numbers(instance, container)
        publish.withdraw(instance, [one for one in published if one.mapping in gone])


def _add_in_force(instance: Instance, container: Container, mapping: PortMapping) -> list[PortMapping]:
    store = instance.store
    held = publish.hold(store, [mapping], None, everywhere(instance, container.spec))
    try:
        with changing(instance, container) as channel:
            _make_room(store, container, len(held.sockets))
            send_sockets(channel, held.sockets)
            with store.write():
                container = unchanged(instance, container)
                leg = publishing_leg(instance, container, store.endpoints(sandbox=container.id))
                for one in held.mappings:
                    publish.record(store, publication(container, leg, one))
                _set_ports(instance, container, (*container.spec.ports, mapping))
                _keep_numbers(instance, container)
            _enforce(instance, container, leg, held, mapping)
    finally:
        held.close()
    return held.mappings


def _make_room(store: Store, container: Container, more: int) -> None:
    """In its monitor, for so many more sockets."""
    mappings = [one.mapping for one in store.ports(container=container.id)]
    sockets = more + sum(one.count for one in mappings if one.count <= publish.HELD_MOST)
    if sockets > MANY and container.monitor is not None:
        publish.make_room(container.monitor.pid, sockets)


def _enforce(instance: Instance, container: Container, leg: Endpoint, held: publish.Held, mapping: PortMapping) -> None:
    try:
        _let_reach_itself(leg)
        publish.enforce(instance, container.id)
        held.shut(instance.store)
    except BaseException:
        with instance.store.write():
            for one in held.mappings:
                instance.store.delete_port(one)
            now = instance.store.container(container.id)
            if now is not None:
                _set_ports(instance, now, [one for one in now.spec.ports if one != mapping])
        raise


def _refuse_without_address(instance: Instance, container: Container) -> None:
    network = container.spec.network
    if network.mode is Mode.BRIDGE:
        return
    owner = instance.store.container(container.sandbox) if network.mode is Mode.CONTAINER else None
    why, hint = {
        Mode.HOST: ("it is in the host's network: what it listens on is there already", ""),
        Mode.NONE: ("it has no network, and so no address", "run it with --net=bridge"),
        Mode.CONTAINER: (
            f"its addresses are those of {owner.name if owner else network.container}",
            f"minirun port add {owner.name if owner else network.container} ...",
        ),
    }[network.mode]
    raise MinirunError(f"cannot publish a port of {container.name}: {why}", hint)


def _let_reach_itself(leg: Endpoint) -> None:
    """By its published port; as the driver does for one that is started with ports."""
    from minirun.kernel.sysctl import sysctl_read

    if sysctl_read("net.bridge.bridge-nf-call-iptables") == "1":
        from minirun.kernel.links import hairpin_on

        netlink = Netlink()
        try:
            hairpin_on(netlink, leg.veth)
        finally:
            netlink.close()


def _set_ports(instance: Instance, container: Container, mappings: Iterable[PortMapping]) -> None:
    instance.store.set_spec(container.id, replace(container.spec, ports=tuple(mappings)))


def _keep_numbers(instance: Instance, container: Container) -> None:
    """For the next start: the numbers that are in force now."""
    kept = {key: text for key, text in instance.store.held(container.id).items() if "/" not in key}
    mappings = [one.mapping for one in instance.store.ports(container=container.id)]
    instance.store.set_values(container.id, held=json.dumps(kept | host_ports.on_record(mappings)))


def _as_started(mapping: PortMapping, wishes: host_ports.Wishes) -> PortMapping:
    """What it was when it last ran; of one that never ran, as it was asked for."""
    number = wishes.take(mapping)
    return replace(mapping, host_port=number, host_last=0) if number else mapping


def _chosen(container: Container, mappings: Iterable[PortMapping], place: PortMapping) -> list[PortMapping]:
    """Those that are published exactly there."""
    there = [
        one
        for one in mappings
        if one.protocol == place.protocol
        and place.host_address in (None, one.host_address)
        and one.host_port < place.host_port + place.count
        and place.host_port < one.host_port + one.count
    ]
    for one in there:
        if one.host_ports != place.host_ports:
            raise MinirunError(
                f"{place.place}/{place.protocol} is not what was published: {one.place}/{one.protocol} is",
                f"minirun port rm {container.name} {one.place.rpartition(':')[2]}/{one.protocol}",
            )
    if not there:
        raise NotFoundError(
            f"No public port '{place.place if place.host_address else place.place.rpartition(':')[2]}/{place.protocol}'"
            f" published for {container.name}",
            f"minirun port {container.name} lists them",
        )
    return there


def _without(
    asked: Iterable[PortMapping], published: Iterable[PortMapping], gone: list[PortMapping]
) -> Iterator[PortMapping]:
    """What was asked for, but for what is gone. Of a port on every address, those that are left are named."""
    asked, left, origins = list(asked), list(published), {}
    for number, mapping in sorted(enumerate(asked), key=lambda one: _vagueness(one[1])):
        fitting = [one for one in left if _is_of(one, mapping)]
        origins[number] = [one for one in fitting if one.host_port == fitting[0].host_port]  # on each address
        left = [one for one in left if one not in origins[number]]
    for number, mapping in enumerate(asked):
        came_of_it = origins[number]
        if not any(one in gone for one in came_of_it):
            yield mapping
            continue
        yield from (replace(mapping, host_address=one.host_address) for one in came_of_it if one not in gone)


def _vagueness(asked: PortMapping) -> int:
    """A port in force is that of the mapping that says most exactly where it is to be."""
    return 0 if asked.is_fixed else 1 if asked.host_last else 2


def _is_of(placed: PortMapping, asked: PortMapping) -> bool:
    """Whether a port in force is one that was asked for so."""
    within = (asked.host_port, asked.host_last or asked.host_port) if asked.host_port else (1, 65535)
    return (
        (placed.protocol, placed.container_port, placed.count) == (asked.protocol, asked.container_port, asked.count)
        and asked.host_address in (None, placed.host_address)
        and within[0] <= placed.host_port <= within[1]
    )


def _overlaps(one: PortMapping, other: PortMapping) -> bool:
    """As far as that can be said before they have their ports and addresses."""
    if one.protocol != other.protocol or not all(each.host_port and not each.host_last for each in (one, other)):
        return False
    addresses = (one.host_address, other.host_address)
    everywhere = any(address is None or address.is_unspecified for address in addresses)
    shared = one.host_port < other.host_port + other.count and other.host_port < one.host_port + one.count
    return shared and (everywhere or addresses[0] == addresses[1])
