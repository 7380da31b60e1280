"""Address allocation as pure arithmetic; callers pass functions that tell which addresses are in use."""

from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network, IPv6Address

from minirun.errors import ConflictError, MinirunError
from minirun.model import Address, Network, Pool, Subnet

_MAX_TRIES6 = 1 << 16  # more endpoints than a bridge has ports (1023) never share a network


def next_address(network: Network, first_free: Callable[[int, int], int | None], last: int) -> IPv4Address:
    """Return the next free IPv4 address after `last`, round robin.

    first_free: returns the lowest unused address of a closed interval, or None. It is called once while the next
        addresses are free, however many are in use.
    last: the address allocated most recently, as an integer; 0 for none

    A freed address is not reused at once, because ARP caches and clients' connections still mean its old owner.
    Raises ConflictError when the pool is exhausted.
    """
    low, high = _allocatable(network)
    start = last + 1 if low <= last < high else low
    reserved = _reserved(network)
    for begin, end in ((start, high), (low, start - 1)):
        candidate: int | None = begin
        while candidate is not None and candidate <= end:
            candidate = first_free(candidate, end)
            if candidate is not None and candidate not in reserved:
                return IPv4Address(candidate)
            candidate = None if candidate is None else candidate + 1
    pool = network.pool
    within = pool.ip_range or pool.subnet if pool else "no pool"
    raise ConflictError(
        f"no available IPv4 addresses on network {network.name} ({within}): all of them are in use",
        "remove containers, or create a network with a larger --subnet",
    )


def next_address6(network: Network, offset: int, is_used: Callable[[IPv6Address], bool]) -> IPv6Address:
    """Return the pool's address number `offset`, or the next free one after it.

    offset: counted from the first address of --ip-range, or of the subnet; taken modulo its size

    Raises ConflictError when no address is free.
    """
    pool = network.pool6
    assert pool is not None
    within = pool.ip_range or pool.subnet
    reserved = {pool.gateway, pool.subnet.network_address, *(address for _, address in pool.aux)}
    for step in range(min(within.num_addresses, _MAX_TRIES6)):
        candidate = within.network_address + (offset + step) % within.num_addresses
        if candidate not in reserved and not is_used(candidate):
            return candidate
    raise ConflictError(f"no available IPv6 addresses on network {network.name} ({within})")


def check_address(network: Network, address: IPv4Address, is_used: Callable[[IPv4Address], bool]) -> IPv4Address:
    """Return a requested IPv4 address that lies in the subnet, is not reserved and is free.

    Raises MinirunError when it is invalid, ConflictError when it is in use.
    """
    assert network.pool is not None
    if address == network.subnet.broadcast_address:
        raise _network_or_broadcast(address, network.subnet)
    return _check(network, network.pool, address, is_used)


def check_address6(network: Network, address: IPv6Address, is_used: Callable[[IPv6Address], bool]) -> IPv6Address:
    """Return a requested IPv6 address, as check_address does. The network has an IPv6 pool."""
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
        raise _network_or_broadcast(address, pool.subnet)
    reserved = {held: f"aux-address {name}" for name, held in pool.aux} | {pool.gateway: "the gateway"}
    if owner := reserved.get(address) or ("another container" if is_used(address) else ""):
        raise ConflictError(f"Address already in use: {address} on network {network.name} belongs to {owner}")
    return address


def _network_or_broadcast(address: object, subnet: object) -> MinirunError:
    return MinirunError(f"invalid address {address}: it is the network or broadcast address of {subnet}")


def _allocatable(network: Network) -> tuple[int, int]:
    """The first and last allocatable address: --ip-range without the subnet's network and broadcast address."""
    low, high = _bounds(network.subnet)
    if network.pool and network.pool.ip_range:
        first, last = _bounds(network.pool.ip_range)
        return max(first, low + 1), min(last, high - 1)
    return low + 1, high - 1


def _reserved(network: Network) -> set[int]:
    aux = network.pool.aux if network.pool else ()
    return {int(network.gateway), *(int(address) for _, address in aux)}


def _bounds(subnet: IPv4Network) -> tuple[int, int]:
    return int(subnet.network_address), int(subnet.broadcast_address)
