"""A container's membership in networks: connect and disconnect."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from minirun.errors import ConflictError, MinirunError
from minirun.instance import Instance, lock_container
from minirun.model import Attachment, Container, Endpoint, Mode, Network
from minirun.network import etc_files
from minirun.network.dns.server_control import connect_or_start
from minirun.network.dns.veth import endpoints_with_networks, has_names
from minirun.network.drivers import driver_named
from minirun.network.endpoints import free_place
from minirun.network.firewall import tables
from minirun.network.ipam import allocations
from minirun.network.networks import add_event
from minirun.network.update import ContainerUpdate, apply_update


def connect(update: ContainerUpdate, network: Network, attachment: Attachment) -> list[str]:
    """Connect a container to one more network. Return notes for the user, as a start does.

    ConflictError when it is a member, MinirunError when its network mode or the requested address does not allow it.
    """
    instance = update.instance
    _refuse_shared(update.container)
    allocations.check(network, attachment)
    if not update.is_active:
        with instance.store.write():
            container = update.current()
            if _position_of(container.spec.network.names, network) is not None:
                container = _remove_from_spec(instance, container, network)  # new settings for its next start
            _add_to_spec(instance, container, network, attachment)
        return []
    with update.announced() as send, _dns_server_kept(instance, network), lock_container(instance, update.container.id):
        with instance.store.write():
            container = _add_to_spec(instance, update.current(), network, attachment)
            place = free_place(instance.store.endpoints(sandbox=container.id), container, network, attachment)
            endpoint = allocations.allocate(instance, container, *place, network, attachment)
            add_event(instance.store, "connect", network, container)
        try:
            return apply_update(instance, container, send)
        except BaseException:
            _detach(update, endpoint, network)
            raise


def disconnect(update: ContainerUpdate, network: Network) -> None:
    """Disconnect a container from a network. MinirunError when it is no member."""
    instance = update.instance
    _refuse_shared(update.container)
    if not update.is_active:
        with instance.store.write():
            _remove_from_spec(instance, update.current(), network)
        return
    with update.announced() as send, lock_container(instance, update.container.id):
        container = update.current()
        own = endpoints_with_networks(instance, container.id)
        endpoint = next((endpoint for endpoint, other in own if other.id == network.id), None)
        if endpoint is None:
            raise _not_connected(container, network)
        _detach(update, endpoint, network)
        apply_update(instance, update.current(), send)


def leave_removed(update: ContainerUpdate, reference: str) -> bool:
    """Take a container that does not run out of a network that has been removed. Return whether it was in such one.

    `reference` is the name that the container's record has for the network.
    """
    if update.is_active or reference not in update.container.spec.network.names:
        return False
    with update.instance.store.write():
        container = update.current()
        request = container.spec.network
        attachments = tuple(one for one in request.attachments if one.network != reference)
        _with_attachments(update.instance, container, attachments)
    return True


def unlink(update: ContainerUpdate, alias: str) -> bool:
    """Remove a link of --link from a container. Return whether it had one of this alias.

    The lines in the hosts files go first: killed in between, the command can be given again.
    """
    instance = update.instance
    linked = {other for one in update.container.spec.network.attachments for other, name in one.links if name == alias}
    if not linked:
        return False
    with lock_container(instance, update.container.id):
        for member in instance.store.members(update.container.id) if update.is_active else ():
            etc_files.remove_links(instance, instance.container_dir(member.id), linked, alias)
        with instance.store.write():
            container = update.current()
            attachments = container.spec.network.attachments
            kept = (tuple(link for link in one.links if link[1] != alias) for one in attachments)
            without = (replace(one, links=links) for one, links in zip(attachments, kept, strict=True))
            _with_attachments(instance, container, tuple(without))
    return True


def _detach(update: ContainerUpdate, endpoint: Endpoint, network: Network) -> None:
    """Detach the interface, then delete the record: killed in between, the next command attaches it again."""
    instance, store = update.instance, update.instance.store
    driver_named(network.driver).detach(instance, network, endpoint, update.current())
    with store.write():
        store.delete_endpoint(endpoint)
        container = _remove_from_spec(instance, update.current(), network)
        tables.withdraw(store, instance.table, (), [endpoint])
        add_event(store, "disconnect", network, container)


@contextmanager
def _dns_server_kept(instance: Instance, network: Network) -> Iterator[None]:
    """Within the context, the DNS server's namespace exists. At the end the shim makes a connection of its own."""
    if not has_names(network):
        yield
        return
    with connect_or_start(instance):
        yield


def _refuse_shared(container: Container) -> None:
    """Only containers of mode bridge can change networks. The errors are Docker's."""
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
