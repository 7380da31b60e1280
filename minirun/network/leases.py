"""What an endpoint is given in a network: addresses, by choice, by habit, or the next ones free."""

from ipaddress import IPv4Address, IPv6Address

from minirun.errors import ConflictError, MinirunError
from minirun.instance import Instance
from minirun.model import Attachment, Container, Endpoint, Network
from minirun.network import ipam


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
        ipam.check_address(network, attachment.address, set())
    if attachment.address6:
        _check6(network, attachment.address6)


def _address(instance: Instance, container: Container, network: Network, wanted: IPv4Address | None) -> IPv4Address:
    used, last = instance.store.used_addresses(network.id)
    if wanted:
        return ipam.check_address(network, wanted, used)
    before = instance.store.held(container.id).get(network.id)
    if before is not None and int(wish := IPv4Address(before)) not in used:
        return wish
    return ipam.next_address(network, used, last)


def _address6(
    instance: Instance, network: Network, wanted: IPv6Address | None, address: IPv4Address | None
) -> IPv6Address | None:
    """By default with the host part of the IPv4 address: who knows one knows the other."""
    pool = network.pool6
    if pool is None:
        return None
    if wanted:
        if instance.store.is_used6(network.id, _check6(network, wanted)):
            raise ConflictError(f"Address already in use: {wanted} on network {network.name}")
        return wanted
    base = pool.ip_range or pool.subnet
    low = int(address) & int(network.subnet.hostmask) if address else 1
    for number in range(low, min(low + 65536, base.num_addresses)):
        free = base.network_address + number
        if (
            free != pool.gateway
            and free not in dict(pool.aux).values()
            and not instance.store.is_used6(network.id, free)
        ):
            return free
    raise ConflictError(f"no available IPv6 addresses on network {network.name} ({base})")


def _check6(network: Network, address: IPv6Address) -> IPv6Address:
    if network.pool6 is None:
        raise MinirunError(f"--ip6: network {network.name} has no IPv6", "make one with: minirun network create --ipv6")
    if address not in network.pool6.subnet:
        raise MinirunError(
            f"invalid address {address}: it does not belong to network {network.name}'s subnet {network.pool6.subnet}"
        )
    if address == network.pool6.gateway:
        raise ConflictError(f"Address already in use: {address} on network {network.name} belongs to the gateway")
    return address
