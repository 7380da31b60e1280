"""Networks that somebody has damaged: rules flushed, bridges deleted, emptied or set down, veths deleted.

Every command looks (lifecycle.reconcile), and so does the resolver's process whenever the kernel tells of a change
(watching.py). The look, `damage`, is a few questions to the kernel, and one to the records. What it finds is made anew
from the records by `mend`, in the namespaces that the containers are in: none is restarted, and connections go on where
only a bridge or rules were lost.

Containers that are just being started are left to who starts them; those that are ending have no legs to look for.
"""

import socket
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from minirun.instance import Instance, locked
from minirun.kernel.link_queries import Interfaces, bridge_ports
from minirun.kernel.netns import netns_exists
from minirun.kernel.rulesets import ChainKey, chain_uses
from minirun.kernel.sockets import interface_index
from minirun.model import Container, Status, veth_name
from minirun.network.dns.veth import has_names, leg_name
from minirun.store.activity import UsedNetwork

_INET, _BRIDGE = 1, 7  # NFPROTO_*
# One that has rules in any case, of each hook that counts: a flushed table has its chains still, but they are empty.
_CHAINS = (
    (_INET, "guard"),
    (_INET, "publish"),
    (_INET, "forward"),
    (_INET, "postrouting"),
    (_BRIDGE, "from_container"),
)


@dataclass(frozen=True, eq=False)
class Damage:
    """What is not as the records say. False when all is well."""

    tables: bool = False
    networks: frozenset[str] = frozenset()  # ids of those without their bridge, its address, or the resolver's leg
    sandboxes: frozenset[str] = frozenset()  # those that lack a leg

    def __bool__(self) -> bool:
        return self.tables or bool(self.networks or self.sandboxes)


@dataclass(frozen=True, eq=False)
class Mended:
    """A line for each thing."""

    done: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


def damage(instance: Instance) -> Damage:
    """Without a container in a network it costs one question to the records."""
    legs = instance.store.settled_legs()
    if not legs:
        return Damage()
    chains: list[ChainKey] = [(family, instance.table, name) for family, name in _CHAINS]
    ports = bridge_ports()
    broken, indexes, others = set(), {}, set()
    has_resolver = netns_exists(instance.resolver_netns)
    with Interfaces() as interfaces:
        for network in instance.store.used_networks({network_id for _, _, network_id in legs}):
            if not network.bridge:
                others.add(network.id)
                continue
            index = indexes[network.id] = interface_index(network.bridge)
            lacks_names = has_resolver and has_names(network) and ports.get(leg_name(network)) != (index, True)
            if lacks_names or not _is_whole(interfaces, network):
                broken.add(network.id)
    lacking = {
        sandbox
        for sandbox, position, network_id in legs
        if network_id not in others and ports.get(veth_name(sandbox, position)) != (indexes.get(network_id), True)
    }
    if others:
        lacking |= set(_unplugged(instance, {sandbox for sandbox, _, network_id in legs if network_id in others}))
    return Damage(not all(chain_uses(chains)), frozenset(broken), frozenset(lacking))


def mend(instance: Instance, whole: bool = False, rules: bool = False, waits: bool = True) -> Mended:
    """Mend what is damaged; with `rules` those, too, and with `whole` all there is, also what `damage` does not look
    at. By one process at a time: the next one finds it mended (BlockingIOError: it has not waited for that). What
    cannot be mended stops nothing else."""
    from minirun.network.repair.restore import Mending  # all that a start needs; seldom wanted

    with locked(instance.root / "containers", waits):
        found = damage(instance)
        if rules:
            found = replace(found, tables=True)
        return Mending(instance, found, whole).all() if found or whole else Mended()


def mend_if_damaged(instance: Instance) -> None:
    """On the way of every command: nothing is said but what could not be done."""
    if damage(instance):
        for line in mend(instance).failed:
            print(f"minirun: {line}", file=sys.stderr)


def _is_whole(interfaces: Interfaces, network: UsedNetwork) -> bool:
    """Whether its bridge is up and has the gateways' addresses."""
    if not interfaces.is_enabled(network.bridge):
        return False
    gateways = ((socket.AF_INET, network.gateway), (socket.AF_INET6, network.gateway6))
    return all(
        interfaces.has_address(network.bridge, socket.inet_pton(family, text)) for family, text in gateways if text
    )


def _unplugged(instance: Instance, sandboxes: Iterable[str]) -> Iterator[str]:
    """Of networks without a bridge only the driver knows."""
    from minirun.network.dns.veth import legs_of
    from minirun.network.drivers import driver_named

    for sandbox in sandboxes:
        container = occupant(instance, sandbox)
        legs = [leg for leg in legs_of(instance, sandbox) if not leg[1].bridge]
        if container and not all(driver_named(net.driver).is_plugged(net, end, container) for end, net in legs):
            yield sandbox


def occupant(instance: Instance, sandbox: str) -> Container | None:
    """Somebody by whose name the namespace is pinned; None when nobody is in it, or somebody is just coming."""
    members = instance.store.members(sandbox)
    return None if any(one.status is Status.STARTING for one in members) else next(iter(members), None)
