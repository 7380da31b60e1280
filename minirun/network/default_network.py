"""The network named bridge, for those who use it: most starts, and they need nothing of how networks are made."""

from minirun.instance import Instance
from minirun.kernel.sockets import link_state
from minirun.model import DEFAULT_NETWORK, Network

RESERVED = ("host", "none", "container", "default")  # names that are modes


def default_network(instance: Instance) -> Network:
    """On first use it is put on record. Its bridge is made by the driver, as for any other."""
    found = instance.store.find_network(DEFAULT_NETWORK)
    if found is not None and link_state(found.bridge)[0]:
        return found
    from minirun.network.networks import settle_default

    return settle_default(instance, found)
