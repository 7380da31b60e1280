"""Making anew what healing.py has found damaged: from the records, from the rules inwards."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from minirun.errors import MinirunError, describe
from minirun.instance import Instance, alone
from minirun.kernel.netns import netns_exists
from minirun.kernel.sockets import link_state
from minirun.model import Container, Endpoint, Network
from minirun.network import ip_forward
from minirun.network.dns import veth
from minirun.network.drivers import driver_named
from minirun.network.firewall import foreign, tables
from minirun.network.modes.bridge import Leg, plug, settle_inside
from minirun.network.repair.detect import Damage, Mended, occupant


class Mending:
    """One round. Each step says what it has changed; one that fails keeps none of the others from being done."""

    def __init__(self, instance: Instance, found: Damage, whole: bool) -> None:
        self._instance = instance
        self._found = found
        self._whole = whole
        self._mended = Mended()

    def all(self) -> Mended:
        store = self._instance.store
        legs = store.settled_legs()
        used = {network for _, _, network in legs}
        networks = [one for one in store.networks() if one.id in used or (self._whole and not one.is_default)]
        self._do("the rules", self._rules)  # first: the guard must stand before a bridge with route_localnet does
        for network in networks:
            if self._whole or network.id in self._found.networks:
                self._do(f"network {network.name}", partial(self._network, network, network.id in used))
        for sandbox in sorted({sandbox for sandbox, _, _ in legs}):
            if self._whole or sandbox in self._found.sandboxes:
                self._do(f"the network of container {self._called(sandbox)}", partial(self._sandbox, sandbox))
        if used:
            self._do("forwarding", lambda: ip_forward.ensure(one for one in networks if one.id in used))
            self._do("what others' rules drop", lambda: foreign.ensure(self._instance))
        return self._mended

    def _do(self, what: str, step: Callable[[], list[str]]) -> None:
        try:
            self._mended.done.extend(step())
        except (OSError, MinirunError) as error:
            text = error.message if isinstance(error, MinirunError) else describe(error)
            self._mended.failed.append(f"{what} could not be mended: {text}")

    def _rules(self) -> list[str]:
        if not self._found.tables and not self._whole:
            return []
        with self._instance.store.write():
            tables.refresh(self._instance.store, self._instance.table)
        return [f"the rules of table {self._instance.table}"] if self._found.tables else []

    def _network(self, network: Network, is_used: bool) -> list[str]:
        before = link_state(network.bridge)
        driver_named(network.driver).ensure(self._instance, network)
        if is_used and veth.has_names(network) and netns_exists(self._instance.resolver_netns):
            veth.restore_leg(self._instance, network)
        changed = network.id in self._found.networks or before != link_state(network.bridge)
        return [f"network {network.name}: {network.bridge or network.driver}"] if changed else []

    def _sandbox(self, sandbox: str) -> list[str]:
        """While its end is held up: the namespace stays, and its pin becomes nobody else's."""
        seen = occupant(self._instance, sandbox)
        if seen is None:
            return []
        with alone(self._instance, seen.id):
            current = occupant(self._instance, sandbox)
            if current is None or current.id != seen.id:
                return []
            # The owner may be stopped, or even removed, while others live on in its sandbox.
            owner = self._instance.store.container(sandbox) or current
            return [
                f"container {current.name}: {end.interface}"
                for end in self._legs(replace(owner, name=current.name), sandbox)
            ]

    def _legs(self, container: Container, sandbox: str) -> list[Endpoint]:
        legs = veth.legs_of(self._instance, sandbox)
        done = plug(self._instance, container, legs, missing_only=True)
        if self._whole:
            everything = {end.position for end, _ in legs}
            more = settle_inside(self._instance, container, legs, everything)
            done += [end for end in more if end.position not in {one.position for one in done}]
            made = {one.position for one in done}
            self._check(container, [leg for leg in legs if leg[0].position not in made])
        return done

    def _check(self, container: Container, legs: list[Leg]) -> None:
        for end, network in legs:
            if problem := driver_named(network.driver).check(network, end, container):
                self._mended.failed.append(
                    f"{end.interface} of container {container.name} in network {network.name} is not as it was made:"
                    f" {problem}. Disconnect it and connect it again, or restart the container"
                )

    def _called(self, sandbox: str) -> str:
        found = occupant(self._instance, sandbox)
        return found.name if found else sandbox[:12]
