"""Restoring damaged networks from the records: rules, bridges, then endpoints in the containers' namespaces.

No container is restarted, and connections survive where only a bridge or rules were lost.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

from minirun.errors import MinirunError, describe
from minirun.instance import Instance, lock_container, lock_directory
from minirun.kernel.netns import netns_is_pinned
from minirun.kernel.sockets import link_state
from minirun.model import Container, Endpoint, Network
from minirun.network import endpoints
from minirun.network.dns import veth
from minirun.network.dns.veth import EndpointInNetwork
from minirun.network.drivers import driver_named
from minirun.network.drivers.bridge import enable_forwarding
from minirun.network.firewall import foreign, tables
from minirun.network.repair.damage import Damage, find_damage, occupant


@dataclass(frozen=True, eq=False)
class Repairs:
    """What a repair has done, and what it could not do: a line each."""

    done: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


def repair(instance: Instance, everything: bool = False, rules: bool = False, waits: bool = True) -> Repairs:
    """Repair what is damaged; with `rules` the firewall's tables in any case.

    With `everything`, restore also what `find_damage` does not look at. One process repairs at a time, and the next
    finds nothing to do; with `waits` False it does not wait for the other (BlockingIOError). A step that fails does not
    stop the others.
    """
    with lock_directory(instance.root / "containers", waits):
        damage = find_damage(instance)
        if rules:
            damage = replace(damage, tables=True)
        return _Repair(instance, damage, everything).run() if damage or everything else Repairs()


def repair_damage(instance: Instance) -> list[str]:
    """Repair what is damaged, as every command does; also what other firewalls have lost or changed by a reload.

    Return a line for each thing that could not be repaired.
    """
    if not instance.store.has_endpoints():
        return []
    failed = repair(instance).failed if find_damage(instance) else []
    try:
        return [*failed, *foreign.ensure(instance)]
    except OSError as error:
        return [*failed, f"cannot repair accept rules in foreign firewalls: {describe(error)}"]


class _Repair:
    """One repair, with its results so far."""

    def __init__(self, instance: Instance, damage: Damage, everything: bool) -> None:
        self._instance = instance
        self._damage = damage
        self._everything = everything
        self._repairs = Repairs()

    def run(self) -> Repairs:
        store = self._instance.store
        settled = store.settled_endpoints()
        used = {network for _, _, network in settled}
        networks = [
            network
            for network in store.networks()
            if network.id in used or (self._everything and not (network.is_default or network.template))
        ]
        self._try("the rules", self._rules)  # first: the guard must stand before a bridge with route_localnet does
        for network in networks:
            if self._everything or network.id in self._damage.networks:
                self._try(f"network {network.name}", partial(self._network, network, network.id in used))
        for sandbox in sorted({sandbox for sandbox, _, _ in settled}):
            if self._everything or sandbox in self._damage.sandboxes:
                self._try(f"the network of container {self._name_of(sandbox)}", partial(self._sandbox, sandbox))
        if used:
            self._try("IP forwarding", lambda: enable_forwarding(network for network in networks if network.id in used))
            self._try("accept rules in foreign firewalls", lambda: foreign.ensure(self._instance))
        return self._repairs

    def _try(self, what: str, step: Callable[[], list[str]]) -> None:
        try:
            self._repairs.done.extend(step())
        except (OSError, MinirunError) as error:
            text = error.message if isinstance(error, MinirunError) else describe(error)
            self._repairs.failed.append(f"cannot repair {what}: {text}")

    def _rules(self) -> list[str]:
        if not self._damage.tables and not self._everything:
            return []
        with self._instance.store.write():
            tables.refresh(self._instance.store, self._instance.table)
        return [f"the rules of table {self._instance.table}"] if self._damage.tables else []

    def _network(self, network: Network, is_used: bool) -> list[str]:
        before = link_state(network.bridge)
        driver_named(network.driver).ensure(self._instance, network)
        if is_used and veth.has_names(network) and netns_is_pinned(self._instance.dns_netns):
            veth.reattach_veth(self._instance, network)
        changed = network.id in self._damage.networks or before != link_state(network.bridge)
        return [f"network {network.name}: {network.bridge or network.driver}"] if changed else []

    def _sandbox(self, sandbox: str) -> list[str]:
        """Restore a sandbox while no member can end, so that its pin stays this namespace's."""
        seen = occupant(self._instance, sandbox)
        if seen is None:
            return []
        with lock_container(self._instance, seen.id):
            member = occupant(self._instance, sandbox)
            if member is None or member.id != seen.id:
                return []
            # The owner may be stopped or even removed while other members keep its sandbox.
            owner = self._instance.store.container(sandbox) or member
            restored = self._endpoints(replace(owner, name=member.name), sandbox)
            return [f"container {member.name}: {endpoint.interface}" for endpoint in restored]

    def _endpoints(self, container: Container, sandbox: str) -> list[Endpoint]:
        own = veth.endpoints_with_networks(self._instance, sandbox)
        attached = endpoints.attach(self._instance, container, own, missing_only=True)
        restored = {endpoint.position: endpoint for endpoint in attached}
        if self._everything:
            positions = {endpoint.position for endpoint, _ in own}
            for endpoint in endpoints.configure(self._instance, container, own, positions):
                restored.setdefault(endpoint.position, endpoint)
            self._check(container, [pair for pair in own if pair[0].position not in restored])
        return list(restored.values())

    def _check(self, container: Container, own: list[EndpointInNetwork]) -> None:
        for endpoint, network in own:
            if problem := driver_named(network.driver).check(network, endpoint, container):
                self._repairs.failed.append(
                    f"{endpoint.interface} of container {container.name} in network {network.name} is damaged:"
                    f" {problem}. Disconnect it and connect it again, or restart the container"
                )

    def _name_of(self, sandbox: str) -> str:
        member = occupant(self._instance, sandbox)
        return member.name if member else sandbox[:12]
