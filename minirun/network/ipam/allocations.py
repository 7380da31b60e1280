"""The addresses of an endpoint: the requested one, the previous one, or the next free one of its network."""

from functools import partial
from ipaddress import IPv4Address, IPv6Address

from minirun.errors import MinirunError
from minirun.instance import Instance
from minirun.model import Attachment, Container, Endpoint, Network
from minirun.network.ipam import allocator


def allocate(
    instance: Instance, container: Container, position: int, name: str, network: Network, attachment: Attachment
) -> Endpoint:
    """Record an endpoint of `container` with its allocated addresses, and return it.

    position: a number that no other endpoint of the container has
    name: of its interface; "" for ethN of the position
    attachment: the requested addresses, MAC address, aliases and sysctls

    The caller holds a write transaction; the schema's unique keys refuse an address that is in use.
    Raises MinirunError for an invalid address, ConflictError when it or the whole pool is in use.
    """
    address = _allocate4(instance, container, network, attachment.address) if network.pool else None
    endpoint = Endpoint(
        sandbox=container.id,
        position=position,
        network=network.id,
        address=address,
        address6=_allocate6(instance, network, attachment.address6, address),
        given_mac=attachment.mac,
        aliases=attachment.aliases,
        given_name=name,
        sysctls=attachment.sysctls,
    )
    instance.store.add_endpoint(endpoint)
    return endpoint


def check(network: Network, attachment: Attachment) -> None:
    """Validate the requested addresses as far as possible without the store: family, subnet, reserved addresses."""
    if network.template:
        raise MinirunError(
            f"cannot create endpoint on configuration-only network {network.name}",
            f"minirun network create --config-from {network.name} NAME",
        )
    if attachment.address and network.pool is None:
        raise MinirunError(f"network {network.name} assigns addresses itself: --ip is not supported on it")
    if attachment.address:
        allocator.check_address(network, attachment.address, lambda _: False)
    if attachment.address6 and network.pool6 is None:
        raise MinirunError(
            f"--ip6: network {network.name} has no IPv6", "create a network with: minirun network create --ipv6"
        )
    if attachment.address6:
        allocator.check_address6(network, attachment.address6, lambda _: False)


def _allocate4(
    instance: Instance, container: Container, network: Network, requested: IPv4Address | None
) -> IPv4Address:
    store = instance.store

    def is_used(address: IPv4Address) -> bool:
        return store.is_used(network.id, int(address))

    if requested:
        return allocator.check_address(network, requested, is_used)
    last_held = store.held(container.id).get(network.id)
    if last_held is not None and (previous := IPv4Address(last_held)) in network.subnet and not is_used(previous):
        return previous
    return allocator.next_address(network, partial(store.first_free, network.id), store.last_address(network.id))


def _allocate6(
    instance: Instance, network: Network, requested: IPv6Address | None, address: IPv4Address | None
) -> IPv6Address | None:
    """Prefer the host part of the IPv4 address, so that each of the two addresses tells the other."""

    def is_used(address6: IPv6Address) -> bool:
        return instance.store.is_used6(network.id, address6)

    if network.pool6 is None:
        return None
    if requested:
        return allocator.check_address6(network, requested, is_used)
    host_part = int(address) & int(network.subnet.hostmask) if address else 1
    return allocator.next_address6(network, host_part, is_used)
