"""The choice of a network's subnets and gateways: what was asked for, or the next ones free on this host."""

import os
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import TYPE_CHECKING

from minirun.config import Config, load
from minirun.errors import ConflictError, MinirunError
from minirun.kernel.link_queries import networks_in_use
from minirun.model import Network, Pool, Pool4, Pool6, Subnet
from minirun.network.ipam.foreign_subnets import foreign_subnets
from minirun.network.ipam.subnets import FAMILIAR, POOLS4, AddressPool, Claim, free_subnet, private_pool6

if TYPE_CHECKING:
    from minirun.network.networks import Wish4, Wish6

_MACHINE_ID = Path("/etc/machine-id")
_SHORTEST_MACHINE_ID = 32  # an empty one, or "uninitialized", is that of many machines


Held = tuple[IPv4Network | IPv6Network, str]  # and by whom


@dataclass(frozen=True)
class Surroundings:
    """Who has which addresses, but for minirun. Read before the records are locked: it may take a moment."""

    config: Config
    in_use: tuple[Held, ...]  # a wish that overlaps these is refused
    written: tuple[Held, ...]  # only passed over when minirun chooses: whoever wants one of these knows why

    @classmethod
    def look(cls) -> "Surroundings":
        in_use = (*networks_in_use(socket.AF_INET), *networks_in_use(socket.AF_INET6))
        return cls(load(), in_use, tuple(foreign_subnets()))


def choose4(wish: "Wish4", networks: Iterable[Network], around: Surroundings, familiar: bool) -> Pool4:
    """`familiar`: for the default network, which has Docker's subnet where that is free and nothing else is said."""
    own = [(other.pool.subnet, other) for other in networks if other.pool]
    subnet = wish.subnet
    if subnet is None:
        usual = (AddressPool(FAMILIAR, FAMILIAR.prefixlen), *POOLS4) if familiar else POOLS4
        subnet = free_subnet(
            around.config.pools4 or usual, _claims(own, (*around.in_use, *around.written), IPv4Network)
        )
    elif subnet.prefixlen > 30:
        raise MinirunError(f"invalid subnet {subnet}: it has no room for a gateway and a container")
    else:
        _refuse_overlap(subnet, _claims(own, around.in_use, IPv4Network))
    aux = {address for _, address in wish.aux}
    low = subnet.network_address + 1
    gateway = wish.gateway or next(low + number for number in range(subnet.num_addresses) if low + number not in aux)
    if gateway not in subnet or gateway in (subnet.network_address, subnet.broadcast_address):
        raise MinirunError(f"invalid gateway {gateway}: it is not a host address of {subnet}")
    return Pool(subnet, gateway, wish.ip_range, wish.aux)


def choose6(wish: "Wish6", networks: Iterable[Network], around: Surroundings) -> Pool6:
    own = [(other.pool6.subnet, other) for other in networks if other.pool6]
    subnet = wish.subnet
    if subnet is None:
        pools = around.config.pools6 or (private_pool6(_machine_id()),)
        subnet = free_subnet(pools, _claims(own, (*around.in_use, *around.written), IPv6Network))
    else:
        _refuse_overlap(subnet, _claims(own, around.in_use, IPv6Network))
    gateway = wish.gateway or subnet.network_address + 1
    if gateway not in subnet or gateway == subnet.network_address:
        raise MinirunError(f"invalid gateway {gateway}: it is not a host address of {subnet}")
    return Pool(subnet, gateway, wish.ip_range, wish.aux)


def _claims(own: list[tuple[Subnet, Network]], others: Iterable[Held], kind: type[Subnet]) -> list[Claim[Subnet]]:
    """Each once: what the kernel says of minirun's own bridges is on record already."""
    found = [Claim(subnet, f"network {network.name}", "minirun's networks have") for subnet, network in own]
    bridges = {network.bridge: subnet for subnet, network in own}
    for subnet, owner in others:
        if isinstance(subnet, kind) and not (owner in bridges and subnet.subnet_of(bridges[owner])):
            found.append(Claim(subnet, owner, f"{owner} has"))
    return found


def _refuse_overlap(wanted: Subnet, claims: Iterable[Claim[Subnet]]) -> None:
    for claim in claims:
        if wanted.overlaps(claim.subnet):
            raise ConflictError(
                f"invalid pool request: Pool overlaps with other one on this address space: {wanted} and"
                f" {claim.subnet}, which is held by {claim.owner}"
            )


def _machine_id() -> bytes:
    """Of a machine without one each network has a prefix of its own, which is as private."""
    try:
        found = _MACHINE_ID.read_bytes().strip()
    except OSError:
        found = b""
    return found if len(found) >= _SHORTEST_MACHINE_ID else os.urandom(16)
