"""Finding damage to networks in use: rules flushed, bridges deleted, emptied or set down, veths deleted.

Every command looks for damage (engine/reconcile.py; `run` when the program begins, cli/container/launch.py), and so
does the DNS server's process after the kernel's events (watch.py). A look is a few queries to the kernel, and one to
the records. Containers that are being started are left to the command that starts them; those that are ending have no
endpoints to look for.
"""

import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from minirun.instance import Instance
from minirun.kernel.link_queries import Interfaces, bridge_ports
from minirun.kernel.netns import netns_is_pinned
from minirun.kernel.sockets import interface_index
from minirun.model import Container, Status, veth_name
from minirun.network.dns.veth import dns_veth_name, endpoints_with_networks, has_names
from minirun.network.drivers import driver_named
from minirun.network.firewall import tables
from minirun.store.activity import UsedNetwork


@dataclass(frozen=True, eq=False)
class Damage:
    """Where the kernel's state differs from the records. False when it does not."""

    tables: bool = False
    networks: frozenset[str] = frozenset()  # ids of networks without bridge, gateway address or DNS endpoint
    sandboxes: frozenset[str] = frozenset()  # ids of sandboxes with an endpoint that is not attached

    def __bool__(self) -> bool:
        return self.tables or bool(self.networks or self.sandboxes)


def find_damage(instance: Instance) -> Damage:
    """Compare the kernel's state with the records. Without a container in a network it costs one query."""
    settled = instance.store.settled_endpoints()
    if not settled:
        return Damage()
    ports = bridge_ports()
    broken, bridge_indexes, bridgeless = set(), {}, set()
    has_dns = netns_is_pinned(instance.dns_netns)
    with Interfaces() as interfaces:
        for network in instance.store.used_networks({network_id for _, _, network_id in settled}):
            if not network.bridge:
                bridgeless.add(network.id)
                continue
            index = bridge_indexes[network.id] = interface_index(network.bridge)
            lacks_dns = has_dns and has_names(network) and ports.get(dns_veth_name(network)) != (index, True)
            if lacks_dns or not _is_whole(interfaces, network):
                broken.add(network.id)
    incomplete = {
        sandbox
        for sandbox, position, network_id in settled
        if network_id not in bridgeless
        and ports.get(veth_name(sandbox, position)) != (bridge_indexes.get(network_id), True)
    }
    if bridgeless:
        candidates = {sandbox for sandbox, _, network_id in settled if network_id in bridgeless}
        incomplete |= set(_detached(instance, candidates))
    if incomplete:  # or ended since the first look
        incomplete &= {sandbox for sandbox, _, _ in instance.store.settled_endpoints()}
    return Damage(not tables.have_rules(instance.table), frozenset(broken), frozenset(incomplete))


def occupant(instance: Instance, sandbox: str) -> Container | None:
    """Return a member of the sandbox, by whose name the namespace is pinned; None while a member is being started."""
    members = instance.store.members(sandbox)
    return None if any(member.status is Status.STARTING for member in members) else next(iter(members), None)


def _is_whole(interfaces: Interfaces, network: UsedNetwork) -> bool:
    """Return whether the bridge is up and has the gateways' addresses."""
    if not interfaces.is_enabled(network.bridge):
        return False
    gateways = ((socket.AF_INET, network.gateway), (socket.AF_INET6, network.gateway6))
    return all(
        interfaces.has_address(network.bridge, socket.inet_pton(family, text)) for family, text in gateways if text
    )


def _detached(instance: Instance, sandboxes: Iterable[str]) -> Iterator[str]:
    """Yield sandboxes with a detached endpoint in a network without a bridge, of which only the driver knows."""
    for sandbox in sandboxes:
        container = occupant(instance, sandbox)
        own = [
            (endpoint, network)
            for endpoint, network in endpoints_with_networks(instance, sandbox)
            if not network.bridge
        ]
        if container and not all(
            driver_named(network.driver).is_attached(network, endpoint, container) for endpoint, network in own
        ):
            yield sandbox
