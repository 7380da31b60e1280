"""network connect and disconnect: of a container that runs, at once, and of one that is stopped, for its next start."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

from minirun.engine.hot_update import changing, unchanged
from minirun.engine.liveness import past_its_start
from minirun.engine.protocol import send_sockets
from minirun.errors import ConflictError, MinirunError
from minirun.instance import Instance, alone
from minirun.kernel.netlink import Netlink
from minirun.model import ACTIVE, Attachment, Container, Endpoint, Mode, Network
from minirun.network import etc_files, ip_forward
from minirun.network.dns.veth import has_names, legs_of
from minirun.network.drivers import driver_named
from minirun.network.events import tell
from minirun.network.firewall import foreign, tables
from minirun.network.ipam import allocations
from minirun.network.modes.bridge import Leg, free_position, plug, replace_default_routes, settle_inside
from minirun.network.ports import publish
from minirun.network.ports.remap import Give, retargeted


def connect(instance: Instance, container: Container, network: Network, attachment: Attachment) -> list[str]:
    """Returns notes for the user, as a start does."""
    refuse_shared(container)
    allocations.check(network, attachment)
    container = past_its_start(instance, container)
    if container.status not in ACTIVE:
        with instance.store.write():
            _add_to_spec(instance, unchanged(instance, container), network, attachment)
        return []
    with changing(instance, container) as channel, _with_resolver(instance, network):
        with alone(instance, container.id):
            with instance.store.write():
                now = _add_to_spec(instance, unchanged(instance, container), network, attachment)
                position = free_position(instance.store.endpoints(sandbox=now.id))
                endpoint = allocations.lease(instance, now, position, network, attachment)
                tell(instance.store, "connect", network, now)
            try:
                with retargeted(instance, now, partial(send_sockets, channel)):
                    return bring_in_force(instance, now)
            except BaseException:
                _take_back(instance, now, endpoint, network)
                raise


def disconnect(instance: Instance, container: Container, network: Network) -> None:
    refuse_shared(container)
    container = past_its_start(instance, container)
    if container.status not in ACTIVE:
        with instance.store.write():
            _remove_from_spec(instance, unchanged(instance, container), network)
        return
    with changing(instance, container) as channel, alone(instance, container.id):
        now = unchanged(instance, container)
        endpoint = next((end for end, other in legs_of(instance, now.id) if other.id == network.id), None)
        if endpoint is None:
            raise _not_connected(now, network)
        _take_back(instance, now, endpoint, network)
        with retargeted(instance, unchanged(instance, now), partial(send_sockets, channel)):
            bring_in_force(instance, unchanged(instance, now))


def bring_in_force(instance: Instance, container: Container) -> list[str]:
    """Have what is on record: rules, legs, addresses, routes, and the files that tell of them."""
    legs = legs_of(instance, container.id)
    networks = [network for _, network in legs]
    netlink = Netlink()
    try:
        tables.ensure(instance.store, instance.table, networks, container.id)
        plug(instance, netlink, container, legs, missing_only=True)
        _settle(instance, netlink, container, legs)
    finally:
        netlink.close()
    publish.settle_flows(instance.store.ports(container=container.id))
    return [*ip_forward.ensure(networks), *foreign.ensure(instance)]


def finish_change(instance: Instance, container: Container, give: Give) -> None:
    """By the monitor, when a command that was changing its networks or ports was killed, or failed."""
    with retargeted(instance, container, give):
        bring_in_force(instance, container)


def _settle(instance: Instance, netlink: Netlink, container: Container, legs: list[Leg]) -> None:
    settle_inside(instance, netlink, container, legs, {end.position for end, _ in legs})
    replace_default_routes(container, legs)
    for member in instance.store.members(container.id):
        etc_files.renew_files(instance, container, instance.container_dir(member.id))


def _take_back(instance: Instance, container: Container, endpoint: Endpoint, network: Network) -> None:
    """The leg, then the record: killed in between, the next command makes the leg anew."""
    store = instance.store
    netlink = Netlink()
    try:
        driver_named(network.driver).unplug(instance, netlink, network, endpoint, container)
        with store.write():
            store.delete_endpoint(endpoint)
            now = _remove_from_spec(instance, unchanged(instance, container), network)
            tables.withdraw(store, instance.table, (), [endpoint])
            tell(store, "disconnect", network, now)
    finally:
        netlink.close()


@contextmanager
def _with_resolver(instance: Instance, network: Network) -> Iterator[None]:
    """Its namespace is there for a leg; the container's monitor makes a connection of its own at the end."""
    if not has_names(network):
        yield
        return
    from minirun.network.dns.server_control import reach

    with reach(instance):
        yield


def refuse_shared(container: Container) -> None:
    """In Docker's words."""
    mode = container.spec.network.mode
    if mode is Mode.NONE:
        raise MinirunError(
            "container cannot be connected to multiple networks with one of the networks in private (none) mode",
            "run it with --net=NETWORK in place of --net=none",
        )
    if mode is not Mode.BRIDGE:
        raise MinirunError(
            "container sharing network namespace with another container or host cannot be connected to any other"
            " network",
            f"connect {container.spec.network.container}, whose namespace it is" if mode is Mode.CONTAINER else "",
        )


def _add_to_spec(instance: Instance, container: Container, network: Network, attachment: Attachment) -> Container:
    request = container.spec.network
    if _position_of(request.names, network) is not None:
        raise ConflictError(f"endpoint with name {container.name} already exists in network {network.name}")
    attachments = (*request.attachments, replace(attachment, network=network.name))
    return _with_attachments(instance, container, attachments)


def _remove_from_spec(instance: Instance, container: Container, network: Network) -> Container:
    request = container.spec.network
    position = _position_of(request.names, network)
    if position is None:
        raise _not_connected(container, network)
    attachments = (*request.attachments[:position], *request.attachments[position + 1 :])
    return _with_attachments(instance, container, attachments)


def _with_attachments(instance: Instance, container: Container, attachments: tuple[Attachment, ...]) -> Container:
    spec = replace(container.spec, network=replace(container.spec.network, attachments=attachments))
    instance.store.set_spec(container.id, spec)
    return replace(container, spec=spec)


def _position_of(names: Sequence[str], network: Network) -> int | None:
    return next((number for number, name in enumerate(names) if name in (network.name, network.id)), None)


def _not_connected(container: Container, network: Network) -> MinirunError:
    return MinirunError(f"container {container.id} is not connected to network {network.name}")
