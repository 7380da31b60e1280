"""What an endpoint is given in a network: addresses, by choice, by habit, or the next ones free."""

from functools import partial
from ipaddress import IPv4Address, IPv6Address

from minirun.errors import MinirunError
from minirun.instance import Instance
from minirun.model import Attachment, Container, Endpoint, Network
from minirun.network.ipam import allocator


def lease(
    instance: Instance, container: Container, position: int, network: Network, attachment: Attachment
) -> Endpoint:
    """Write down an endpoint with its addresses. Within a transaction: the schema refuses what somebody else has."""
    address = _address(instance, container, network, attachment.address) if network.pool else None
    endpoint = Endpoint(
        sandbox=container.id,
        position=position,
        network=network.id,
        address=address,
        address6=_address6(instance, network, attachment.address6, address),
        given_mac=attachment.mac,
        aliases=attachment.aliases,
    )
    instance.store.add_endpoint(endpoint)
    return endpoint


def check(network: Network, attachment: Attachment) -> None:
    """What can be said before anything is taken."""
    if attachment.address and network.pool is None:
        raise MinirunError(f"network {network.name} gives addresses itself: --ip cannot be honoured")
    if attachment.address:
        allocator.check_address(network, attachment.address, lambda _: False)
    if attachment.address6:
        _check6(network, attachment.address6)


def _address(instance: Instance, container: Container, network: Network, wanted: IPv4Address | None) -> IPv4Address:
    store = instance.store

    def is_used(asked: IPv4Address) -> bool:
        return store.is_used(network.id, int(asked))

    if wanted:
        return allocator.check_address(network, wanted, is_used)
    before = store.held(container.id).get(network.id)
    if before is not None and (wish := IPv4Address(before)) in network.subnet and not is_used(wish):
        return wish
    return allocator.next_address(network, partial(store.first_free, network.id), store.last_address(network.id))


def _address6(
    instance: Instance, network: Network, wanted: IPv6Address | None, address: IPv4Address | None
) -> IPv6Address | None:
    """By default with the host part of the IPv4 address: who knows one knows the other."""

    def is_used(asked: IPv6Address) -> bool:
        return instance.store.is_used6(network.id, asked)

    if network.pool6 is None:
        return None
    if wanted:
        return allocator.check_address6(network, wanted, is_used)
    host_part = int(address) & int(network.subnet.hostmask) if address else 1
    return allocator.next_address6(network, host_part, is_used)


def _check6(network: Network, address: IPv6Address) -> IPv6Address:
    if network.pool6 is None:
        raise MinirunError(f"--ip6: network {network.name} has no IPv6", "make one with: minirun network create --ipv6")
    return allocator.check_address6(network, address, lambda _: False)
