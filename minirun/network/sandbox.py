"""Taking a sandbox back from its record: by whoever ends the container, however far its start had come."""

import sys

from minirun.errors import MinirunError, describe
from minirun.instance import Instance
from minirun.kernel.netns import netns_del
from minirun.model import Container

# Nothing is left of these once the namespace is gone: the kernel takes all of it along.
_FORGETFUL = ("bridge", "macvlan")


def leave(instance: Instance, container: Container) -> None:
    """The container is no longer a member of its sandbox: its ports are given back; when it was the last, its leases.

    Called after its status has left starting/running, and idempotent. The veths need no call: they die with the
    namespace, which dies with its last pin and process.
    """
    if not container.sandbox:
        return
    from minirun.network.events import tell
    from minirun.network.firewall import foreign
    from minirun.network.ports import publish  # most commands end nothing

    store = instance.store
    networks = store.networks_of(container.sandbox)
    if any(network.driver not in _FORGETFUL for network in networks):
        _unplug(instance, container)
    netns_del(container.name)
    # What a rename that was killed has left, unless the name is somebody's by now.
    if container.second_pin and not any(one.name == container.second_pin for one in store.containers()):
        netns_del(container.second_pin)
    with store.write():
        publications = store.ports(container=container.id)
        store.delete_ports(container.id)
        endpoints = [] if store.members(container.sandbox) else store.endpoints(sandbox=container.sandbox)
        if endpoints:
            store.delete_endpoints(container.sandbox)
            for network in networks:
                tell(store, "disconnect", network, container)
            foreign.withdraw(instance)
        publish.withdraw(instance, publications, endpoints)


def _unplug(instance: Instance, container: Container) -> None:
    """What drivers have to take back themselves, unless others are in the namespace still. Who fails at it is told of,
    and stops nothing: the container has ended."""
    from minirun.network.dns.veth import legs_of
    from minirun.network.drivers import driver_named

    if instance.store.members(container.sandbox):
        return
    for endpoint, network in legs_of(instance, container.sandbox):
        try:
            driver = driver_named(network.driver)
            if driver.unplugs_dying:
                driver.unplug(instance, network, endpoint, container)
        except (MinirunError, OSError) as error:
            print(f"minirun: network {network.name}: {describe(error)}", file=sys.stderr)
