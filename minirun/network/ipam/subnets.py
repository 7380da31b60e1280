"""Subnet allocation as pure arithmetic over the subnets in use. ipam/pools.py finds out which those are."""

import hashlib
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from typing import Generic

from minirun.config import AddressPool
from minirun.errors import MinirunError
from minirun.model import Subnet

# The default network uses Docker's subnet, because people recognise it.
DOCKER_DEFAULT = IPv4Network("172.17.0.0/16")
# A bridge has 1023 ports, so a network on one host needs no more than a /22.
_PREFIX4, _PREFIX6 = 22, 64
_MAX_OWNERS_NAMED = 4

# Docker's 172.16.0.0/12 without its first networks, then the other private ranges of RFC 1918.
POOLS4 = tuple(
    AddressPool(IPv4Network(base), _PREFIX4)
    for base in ("172.18.0.0/15", "172.20.0.0/14", "172.24.0.0/13", "192.168.0.0/16", "10.0.0.0/8")
)


@dataclass(frozen=True)
class Claim(Generic[Subnet]):
    """A subnet in use.

    owner: who uses it, as an error names it ("network db", "docker0")
    group: owner and verb for a summary that counts several ("minirun's networks use", "docker0 uses")
    """

    subnet: Subnet
    owner: str
    group: str


def private_pool6(seed: bytes) -> AddressPool[IPv6Network]:
    """Return the machine's unique local /48 (RFC 4193), derived from its machine id as Docker 27 does."""
    global_id = int.from_bytes(hashlib.sha256(b"minirun" + seed).digest()[:5], "big")
    return AddressPool(IPv6Network(((0xFD << 120) | (global_id << 80), 48)), _PREFIX6)


def free_subnet(pools: Sequence[AddressPool[Subnet]], claims: Sequence[Claim[Subnet]]) -> Subnet:
    """Return the first subnet of the pools that overlaps no claim.

    Raises MinirunError, with the largest owners named, when there is none.
    """
    taken = _merged(claim.subnet for claim in claims)
    ends = [end for _, end in taken]
    for pool in pools:
        subnet = _first_gap(pool, taken, ends)
        if subnet is not None:
            return subnet
    version = pools[0].base.version
    raise MinirunError(
        f"could not find an available, non-overlapping IPv{version} address pool among the defaults to assign to the"
        f" network: {_usage(pools, claims)}",
        "pass --subnet, remove networks (minirun network ls), or extend default-address-pools in"
        " /etc/minirun/config.json",
    )


def _merged(subnets: Iterable[Subnet]) -> list[tuple[int, int]]:
    """Sort into disjoint intervals, so that the search compares each claim once, not each with each."""
    merged: list[tuple[int, int]] = []
    for low, high in sorted(_bounds(subnet) for subnet in subnets):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((low, high))
    return merged


def _first_gap(pool: AddressPool[Subnet], taken: list[tuple[int, int]], ends: list[int]) -> Subnet | None:
    """The first aligned subnet of the pool between the taken intervals; `ends` are their last addresses."""
    start, last = _bounds(pool.base)
    size = 1 << (pool.base.max_prefixlen - pool.size)
    while start + size - 1 <= last:
        following = bisect_left(ends, start)
        if following == len(taken) or taken[following][0] >= start + size:
            return pool.base.__class__((start, pool.size))
        start = -(-(taken[following][1] + 1) // size) * size
    return None


def _usage(pools: Sequence[AddressPool[Subnet]], claims: Sequence[Claim[Subnet]]) -> str:
    """Describe in one line who uses the most of the pools."""
    sizes: Counter[str] = Counter()
    members: dict[str, set[Subnet]] = {}
    for claim in claims:
        if size := sum(_overlap(claim.subnet, pool.base) for pool in pools):
            sizes[claim.group] += size
            members.setdefault(claim.group, set()).add(claim.subnet)
    phrases = [_usage_of(group, members[group]) for group, _ in sizes.most_common(_MAX_OWNERS_NAMED)]
    if len(sizes) > _MAX_OWNERS_NAMED:
        phrases.append(f"{len(sizes) - _MAX_OWNERS_NAMED} others use the rest")
    bases = ", ".join(str(pool.base) for pool in pools)
    return f"of {bases} {'; '.join(phrases)}" if phrases else f"{bases} is too small"


def _usage_of(group: str, subnets: set[Subnet]) -> str:
    widest = min(subnets, key=lambda subnet: (subnet.prefixlen, int(subnet.network_address)))
    return f"{group} {widest}" if len(subnets) == 1 else f"{group} {len(subnets)} subnets, such as {widest}"


def _overlap(subnet: IPv4Network | IPv6Network, base: IPv4Network | IPv6Network) -> int:
    """The number of addresses in both."""
    (low, high), (first, last) = _bounds(subnet), _bounds(base)
    return max(0, min(high, last) - max(low, first) + 1)


def _bounds(subnet: IPv4Network | IPv6Network) -> tuple[int, int]:
    return int(subnet.network_address), int(subnet.broadcast_address)
