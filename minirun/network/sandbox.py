"""Taking a sandbox back from its record: by whoever ends the container, however far its start had come."""

from minirun.instance import Instance
from minirun.kernel.netns import netns_del
from minirun.model import Container


def leave(instance: Instance, container: Container) -> None:
    """The container is no longer a member of its sandbox: its ports are given back; when it was the last, its leases.

    Called after its status has left starting/running, and idempotent. The veths need no call: they die with the
    namespace, which dies with its last pin and process.
    """
    if not container.sandbox:
        return
    netns_del(container.name)
    from minirun.network import neighbours, ports  # most commands end nothing

    store = instance.store
    # What a rename that was killed has left, unless the name is somebody's by now.
    if container.second_pin and not any(one.name == container.second_pin for one in store.containers()):
        netns_del(container.second_pin)
    with store.write():
        publications = store.ports(container=container.id)
        store.delete_ports(container.id)
        endpoints = [] if store.members(container.sandbox) else store.endpoints(sandbox=container.sandbox)
        if endpoints:
            store.delete_endpoints(container.sandbox)
            neighbours.withdraw(instance)
        ports.withdraw(instance, publications, endpoints)
