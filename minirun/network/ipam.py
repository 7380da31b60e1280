"""Which subnet a network gets and which address an endpoint gets: arithmetic over what is held, no I/O."""

import hashlib
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, collapse_addresses
from pathlib import Path

from minirun.errors import ConflictError, MinirunError
from minirun.model import Network

# Docker's own pools, in its order: whoever reads an address knows what it is.
_WIDE = [IPv4Network(f"172.{second}.0.0/16") for second in range(17, 32)]
_NARROW = list(IPv4Network("192.168.0.0/16").subnets(new_prefix=20))


def free_subnet(taken: Iterable[IPv4Network]) -> IPv4Network:
    """The first pool that overlaps nothing that the host routes to, has an address in, or that is on record."""
    held = list(collapse_addresses(taken))
    for candidate in [*_WIDE, *_NARROW]:
        if not any(candidate.overlaps(other) for other in held):
            return candidate
    raise MinirunError(
        "could not find an available, non-overlapping IPv4 address pool among the defaults to assign to the network",
        "give one with --subnet, or remove networks: minirun network ls",
    )


def free_subnet6(taken: Iterable[IPv6Network]) -> IPv6Network:
    """A /64 of the private /48 (RFC 4193) that follows from this machine's id."""
    try:
        seed = Path("/etc/machine-id").read_bytes().strip()
    except OSError:
        seed = b""
    first = (0xFD << 120) | (int.from_bytes(hashlib.sha256(b"minirun" + seed).digest()[:5], "big") << 80)
    held = set(taken)
    for number in range(65536):
        candidate = IPv6Network((IPv6Address(first | number << 64), 64))
        if not any(candidate.overlaps(other) for other in held):
            return candidate
    raise MinirunError("could not find an available IPv6 address pool", "give one with --subnet")


def next_address(network: Network, used: set[int], last: int) -> IPv4Address:
    """Round robin from the last one given out, so that a freed address is not somebody else's at once.

    Neighbours' ARP caches and clients' connections still mean the old owner for a while.
    """
    for number in _after(network, last):
        if number not in used:
            return IPv4Address(number)
    raise ConflictError(
        f"no available IPv4 addresses on network {network.name} ({network.subnet}): {len(used)} are held",
        "remove containers, or make a network with a wider --subnet",
    )


def check_address(network: Network, address: IPv4Address, used: set[int]) -> IPv4Address:
    """A chosen address: in the subnet, not one of its special ones, and free."""
    if address not in network.subnet:
        raise MinirunError(
            f"invalid address {address}: it does not belong to network {network.name}'s subnet {network.subnet}"
        )
    if address in (network.subnet.network_address, network.subnet.broadcast_address):
        raise MinirunError(f"invalid address {address}: it is the network or broadcast address of {network.subnet}")
    if address == network.gateway or int(address) in used:
        owner = "the gateway" if address == network.gateway else "another container"
        raise ConflictError(f"Address already in use: {address} on network {network.name} belongs to {owner}")
    return address


def _after(network: Network, last: int) -> Iterator[int]:
    low = int(network.subnet.network_address) + 1
    high = int(network.subnet.broadcast_address) - 1
    start = last + 1 if low <= last < high else low
    for number in [*range(start, min(start + 65536, high + 1)), *range(low, min(start, low + 65536))]:
        if number != int(network.gateway):
            yield number
