"""Taking a sandbox back from its record: by whoever ends the container, however far its start had come."""

from minirun.instance import Instance
from minirun.kernel.netns import netns_del
from minirun.model import Container
from minirun.network import firewall, neighbours


def leave(instance: Instance, container: Container) -> None:
    """The container is no longer a member of its sandbox; when it was the last, leases and ports are given back.

    Called after its status has left starting/running, and idempotent. The veths need no call: they die with the
    namespace, which dies with its last pin and process.
    """
    if not container.sandbox:
        return
    netns_del(container.name)
    store = instance.store
    # What a rename that was killed has left, unless the name is somebody's by now.
    if container.second_pin and not any(one.name == container.second_pin for one in store.containers()):
        netns_del(container.second_pin)
    with store.write():
        if store.members(container.sandbox):
            return
        publications = store.ports(sandbox=container.sandbox)
        store.delete_ports(container.sandbox)
        store.delete_endpoints(container.sandbox)
        firewall.withdraw(store, instance.table, publications)
        neighbours.withdraw(instance)
