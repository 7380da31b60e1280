"""Which address an endpoint gets: arithmetic over what is held; the questions to the record come as functions."""

from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network, IPv6Address

from minirun.errors import ConflictError, MinirunError
from minirun.model import Address, Network, Pool, Subnet


def next_address(network: Network, first_free: Callable[[int, int], int | None], last: int) -> IPv4Address:
    """Round robin from the last one given out, so that a freed address is not somebody else's at once.

    Neighbours' ARP caches and clients' connections still mean the old owner for a while. `first_free` says which is
    the first between two that nobody has: one question as long as the next ones are free, however many are held.
    """
    low, high = _given_out(network)
    start = last + 1 if low <= last < high else low
    special = _special(network)
    for begin, end in ((start, high), (low, start - 1)):
        at: int | None = begin
        while at is not None and at <= end:
            at = first_free(at, end)
            if at is not None and at not in special:
                return IPv4Address(at)
            at = None if at is None else at + 1
    pool = network.pool
    within = pool.ip_range or pool.subnet if pool else "no pool"
    raise ConflictError(
        f"no available IPv4 addresses on network {network.name} ({within}): all of them are held",
        "remove containers, or make a network with a wider --subnet",
    )


def next_address6(network: Network, wish: int, is_used: Callable[[IPv6Address], bool]) -> IPv6Address:
    """The address that is the `wish`-th of the pool, where that is to be had; otherwise the next one after it.

    Bounded: with more neighbours than this a bridge has no ports for them.
    """
    pool = network.pool6
    assert pool is not None
    within = pool.ip_range or pool.subnet
    special = {pool.gateway, pool.subnet.network_address, *(address for _, address in pool.aux)}
    for number in range(min(within.num_addresses, 1 << 16)):
        found = within.network_address + (wish + number) % within.num_addresses
        if found not in special and not is_used(found):
            return found
    raise ConflictError(f"no available IPv6 addresses on network {network.name} ({within})")


def check_address(network: Network, address: IPv4Address, is_used: Callable[[IPv4Address], bool]) -> IPv4Address:
    """A chosen address: in the subnet, not one of its special ones, and free."""
    assert network.pool is not None
    if address == network.subnet.broadcast_address:
        raise MinirunError(f"invalid address {address}: it is the network or broadcast address of {network.subnet}")
    return _check(network, network.pool, address, is_used)


def check_address6(network: Network, address: IPv6Address, is_used: Callable[[IPv6Address], bool]) -> IPv6Address:
    assert network.pool6 is not None
    return _check(network, network.pool6, address, is_used)


def _check(
    network: Network, pool: Pool[Subnet, Address], address: Address, is_used: Callable[[Address], bool]
) -> Address:
    if address not in pool.subnet:
        raise MinirunError(
            f"invalid address {address}: it does not belong to network {network.name}'s subnet {pool.subnet}"
        )
    if address == pool.subnet.network_address:
        raise MinirunError(f"invalid address {address}: it is the network or broadcast address of {pool.subnet}")
    owners = {held: f"aux-address {name}" for name, held in pool.aux} | {pool.gateway: "the gateway"}
    if owner := owners.get(address) or ("another container" if is_used(address) else ""):
        raise ConflictError(f"Address already in use: {address} on network {network.name} belongs to {owner}")
    return address


def _given_out(network: Network) -> tuple[int, int]:
    """First and last: the part that --ip-range says, without the two ends of the subnet."""
    low, high = _ends(network.subnet)
    if network.pool and network.pool.ip_range:
        first, last = _ends(network.pool.ip_range)
        return max(first, low + 1), min(last, high - 1)
    return low + 1, high - 1


def _special(network: Network) -> set[int]:
    aux = network.pool.aux if network.pool else ()
    return {int(network.gateway), *(int(address) for _, address in aux)}


def _ends(subnet: IPv4Network) -> tuple[int, int]:
    return int(subnet.network_address), int(subnet.broadcast_address)
