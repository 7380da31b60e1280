"""Which subnet a network gets: arithmetic over what others have, no I/O. pools.py finds out what that is."""

import hashlib
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from typing import Generic

from minirun.errors import MinirunError
from minirun.model import Subnet

# For the default network: Docker's own, because people know it when they read it.
FAMILIAR = IPv4Network("172.17.0.0/16")
# A bridge has room for 1023 ports, so a /22 is all that a network on one host can use.
_SIZE4, _SIZE6 = 22, 64
_OWNERS_NAMED = 4


@dataclass(frozen=True)
class AddressPool(Generic[Subnet]):
    """A stretch of addresses that networks get subnets from, each with a prefix of `size`."""

    base: Subnet
    size: int


@dataclass(frozen=True)
class Claim(Generic[Subnet]):
    """A subnet that somebody has. `group` is who, for counting: "minirun's networks", "docker0"."""

    subnet: Subnet
    owner: str
    group: str


# What is left of Docker's 172.16.0.0/12 when it and its first networks have theirs, then the others of RFC 1918.
POOLS4 = tuple(
    AddressPool(IPv4Network(base), _SIZE4)
    for base in ("172.18.0.0/15", "172.20.0.0/14", "172.24.0.0/13", "192.168.0.0/16", "10.0.0.0/8")
)


def private_pool6(seed: bytes) -> AddressPool[IPv6Network]:
    """The private /48 (RFC 4193) that belongs to a machine: made from its id, as Docker 27 does."""
    number = int.from_bytes(hashlib.sha256(b"minirun" + seed).digest()[:5], "big")
    return AddressPool(IPv6Network(((0xFD << 120) | (number << 80), 48)), _SIZE6)


def free_subnet(pools: Sequence[AddressPool[Subnet]], claims: Sequence[Claim[Subnet]]) -> Subnet:
    """The first subnet of the pools that overlaps no claim."""
    held = _merged(claim.subnet for claim in claims)
    ends = [end for _, end in held]
    for pool in pools:
        found = _first_gap(pool, held, ends)
        if found is not None:
            return found
    version = pools[0].base.version
    raise MinirunError(
        f"could not find an available, non-overlapping IPv{version} address pool among the defaults to assign to the"
        f" network: {_holders(pools, claims)}",
        "give one with --subnet, remove networks (minirun network ls), or widen default-address-pools in"
        " /etc/minirun/config.json",
    )


def _merged(subnets: Iterable[Subnet]) -> list[tuple[int, int]]:
    """As intervals in order, with those that touch made one: as many comparisons as there are claims, not more."""
    merged: list[tuple[int, int]] = []
    for low, high in sorted(_ends(subnet) for subnet in subnets):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((low, high))
    return merged


def _first_gap(pool: AddressPool[Subnet], held: list[tuple[int, int]], ends: list[int]) -> Subnet | None:
    at, last = _ends(pool.base)
    step = 1 << (pool.base.max_prefixlen - pool.size)
    while at + step - 1 <= last:
        nearest = bisect_left(ends, at)
        if nearest == len(held) or held[nearest][0] >= at + step:
            return pool.base.__class__((at, pool.size))
        at = -(-(held[nearest][1] + 1) // step) * step
    return None


def _holders(pools: Sequence[AddressPool[Subnet]], claims: Sequence[Claim[Subnet]]) -> str:
    """Who has the most of the pools, in one line."""
    sizes: Counter[str] = Counter()
    members: dict[str, set[Subnet]] = {}
    for claim in claims:
        if size := sum(_common(claim.subnet, pool.base) for pool in pools):
            sizes[claim.group] += size
            members.setdefault(claim.group, set()).add(claim.subnet)
    said = [_held_by(group, members[group]) for group, _ in sizes.most_common(_OWNERS_NAMED)]
    if len(sizes) > _OWNERS_NAMED:
        said.append(f"{len(sizes) - _OWNERS_NAMED} others have the rest")
    pools_said = ", ".join(str(pool.base) for pool in pools)
    return f"of {pools_said} {'; '.join(said)}" if said else f"{pools_said} is too small"


def _held_by(group: str, subnets: set[Subnet]) -> str:
    widest = min(subnets, key=lambda subnet: (subnet.prefixlen, int(subnet.network_address)))
    return f"{group} {widest}" if len(subnets) == 1 else f"{group} {len(subnets)} subnets, such as {widest}"


def _common(one: IPv4Network | IPv6Network, other: IPv4Network | IPv6Network) -> int:
    (low, high), (first, last) = _ends(one), _ends(other)
    return max(0, min(high, last) - max(low, first) + 1)


def _ends(subnet: IPv4Network | IPv6Network) -> tuple[int, int]:
    return int(subnet.network_address), int(subnet.broadcast_address)
