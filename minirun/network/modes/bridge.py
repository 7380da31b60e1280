"""--net=bridge and --net=NAME: ethN in the order of the networks, with the default route by the first outward one.

The default bridge and custom networks of any driver work alike; the driver makes the difference.
"""

from minirun.errors import FAILED, MinirunError
from minirun.instance import Instance
from minirun.kernel.netns import netns_is_pinned, netns_share
from minirun.model import Container, Endpoint, Spec
from minirun.network import endpoints
from minirun.network.ipam import allocations
from minirun.network.networks import add_event, network_by_name
from minirun.network.sandbox import add_namespace


class BridgeMode:
    """The network mode `bridge`, of the default network and of custom ones."""

    def validate(self, instance: Instance, spec: Spec) -> None:
        """Check that the networks exist, once each, and that requested addresses belong to them."""
        networks = [network_by_name(instance, name) for name in spec.network.names]
        if len({network.id for network in networks}) < len(networks):
            raise MinirunError("the same network is given twice", "give each --network once", FAILED)
        for network, attachment in zip(networks, spec.network.attachments, strict=True):
            allocations.check(network, attachment)

    def allocate(self, instance: Instance, container: Container) -> str:
        """Record an endpoint with its addresses in each network."""
        store = instance.store
        # Members that outlived the container have kept the namespace alive, and its endpoints with it.
        kept = {endpoint.network: endpoint for endpoint in store.endpoints(sandbox=container.id)}
        allocated: list[Endpoint] = []
        for attachment in container.spec.network.attachments:
            network = network_by_name(instance, attachment.network)
            endpoint = kept.get(network.id)
            place = endpoints.free_place([*kept.values(), *allocated], container, network, attachment)
            allocated.append(endpoint or allocations.allocate(instance, container, *place, network, attachment))
            add_event(store, "connect", network, container)
        return container.id

    def pin(self, instance: Instance, container: Container) -> str:
        """Create the namespace, or share the one that the sandbox's other members have kept alive."""
        others = [member.name for member in instance.store.members(container.id) if member.id != container.id]
        if pinned := next(filter(netns_is_pinned, others), ""):
            netns_share(container.name, pinned)
        else:
            add_namespace(instance, container)
        return container.name

    def attach(self, instance: Instance, container: Container) -> list[str]:
        """Apply what `allocate` recorded. In a shared namespace, interfaces that are still attached stay."""
        is_shared = len(instance.store.members(container.id)) > 1
        return endpoints.apply(instance, container, missing_only=is_shared)
