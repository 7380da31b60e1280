"""The choice of a network's subnets and gateways: the requested ones, or the next free ones on this host."""

import os
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

from minirun.config import AddressPool, Config, load
from minirun.errors import ConflictError, MinirunError
from minirun.kernel.link_queries import networks_in_use
from minirun.model import Network, Pool, Pool4, Pool6, PoolRequest4, PoolRequest6, Subnet
from minirun.network.ipam.foreign_subnets import foreign_subnets
from minirun.network.ipam.subnets import DOCKER_DEFAULT, POOLS4, Claim, free_subnet, private_pool6

_MACHINE_ID = Path("/etc/machine-id")
_MACHINE_ID_LENGTH = 32  # machine-id(5); an empty or "uninitialized" one is shared by many machines
_LONGEST_PREFIX4 = 30  # the network and broadcast address, a gateway and one container

OwnedSubnet = tuple[IPv4Network | IPv6Network, str]  # a subnet, and who uses it


@dataclass(frozen=True)
class HostSubnets:
    """What the choice of a subnet depends on besides minirun's own networks.

    config: the pools that the administrator configured
    in_use: subnets of links and routes; a requested subnet that overlaps one is refused
    configured: subnets in other runtimes' files; only minirun's own choice avoids them, since a user who requests one
        knows why
    """

    config: Config
    in_use: tuple[OwnedSubnet, ...]
    configured: tuple[OwnedSubnet, ...]

    @classmethod
    def read(cls) -> "HostSubnets":
        """Read them from the kernel and the files. Do so before locking the store: it may take a moment."""
        in_use = (*networks_in_use(socket.AF_INET), *networks_in_use(socket.AF_INET6))
        return cls(load(), in_use, tuple(foreign_subnets()))


def choose4(request: PoolRequest4, networks: Iterable[Network], host_subnets: HostSubnets, is_default: bool) -> Pool4:
    """Choose a network's IPv4 subnet and gateway.

    request: what the user asked for; minirun chooses the rest
    networks: minirun's other networks
    host_subnets: the subnets that others use on this host
    is_default: try Docker's 172.17.0.0/16 first (for the default network), unless the configuration names pools

    Raises MinirunError for an invalid request or exhausted pools, ConflictError for a subnet that overlaps another.
    """
    own = [(other.pool.subnet, other) for other in networks if other.pool]
    subnet = request.subnet
    if subnet is None:
        default = (AddressPool(DOCKER_DEFAULT, DOCKER_DEFAULT.prefixlen), *POOLS4) if is_default else POOLS4
        claims = _claims(own, (*host_subnets.in_use, *host_subnets.configured), IPv4Network)
        subnet = free_subnet(host_subnets.config.pools4 or default, claims)
    elif subnet.prefixlen > _LONGEST_PREFIX4:
        raise MinirunError(f"invalid subnet {subnet}: it has no room for a gateway and a container")
    else:
        _refuse_overlap(subnet, _claims(own, host_subnets.in_use, IPv4Network))
    aux = {address for _, address in request.aux}
    first = subnet.network_address + 1
    gateway = request.gateway or next(first + step for step in range(subnet.num_addresses) if first + step not in aux)
    if gateway not in subnet or gateway in (subnet.network_address, subnet.broadcast_address):
        raise MinirunError(f"invalid gateway {gateway}: it is not a host address of {subnet}")
    return Pool(subnet, gateway, request.ip_range, request.aux)


def choose6(request: PoolRequest6, networks: Iterable[Network], host_subnets: HostSubnets) -> Pool6:
    """Choose a network's IPv6 subnet and gateway, as choose4 does; by default from this machine's private /48."""
    own = [(other.pool6.subnet, other) for other in networks if other.pool6]
    subnet = request.subnet
    if subnet is None:
        pools = host_subnets.config.pools6 or (private_pool6(_machine_id()),)
        subnet = free_subnet(pools, _claims(own, (*host_subnets.in_use, *host_subnets.configured), IPv6Network))
    else:
        _refuse_overlap(subnet, _claims(own, host_subnets.in_use, IPv6Network))
    gateway = request.gateway or subnet.network_address + 1
    if gateway not in subnet or gateway == subnet.network_address:
        raise MinirunError(f"invalid gateway {gateway}: it is not a host address of {subnet}")
    return Pool(subnet, gateway, request.ip_range, request.aux)


def _claims(
    own: list[tuple[Subnet, Network]], others: Iterable[OwnedSubnet], family: type[Subnet]
) -> list[Claim[Subnet]]:
    """Each subnet once: the kernel also lists minirun's own bridges, which the store has already named."""
    claims = [Claim(subnet, f"network {network.name}", "minirun's networks use") for subnet, network in own]
    bridges = {network.bridge: subnet for subnet, network in own}
    for subnet, owner in others:
        if isinstance(subnet, family) and not (owner in bridges and subnet.subnet_of(bridges[owner])):
            claims.append(Claim(subnet, owner, f"{owner} uses"))
    return claims


def _refuse_overlap(requested: Subnet, claims: Iterable[Claim[Subnet]]) -> None:
    for claim in claims:
        if requested.overlaps(claim.subnet):
            raise ConflictError(
                f"invalid pool request: Pool overlaps with other one on this address space: {requested} and"
                f" {claim.subnet}, which is used by {claim.owner}"
            )


def _machine_id() -> bytes:
    """A random one for a machine without: each network then has its own prefix, which is just as private."""
    try:
        machine_id = _MACHINE_ID.read_bytes().strip()
    except OSError:
        machine_id = b""
    return machine_id if len(machine_id) >= _MACHINE_ID_LENGTH else os.urandom(16)
