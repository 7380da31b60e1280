"""Drivers of networks: what a kind of network has to know, and where the kinds are found.

`bridge` and the others of this package are built in. A Python package adds one of its own by an entry point:

    [project.entry-points."minirun.network_drivers"]
    mine = "mypackage.driver:Mine"

The name is what `network create --driver` takes; the object is called without arguments and follows `Driver`.
"""

from typing import TYPE_CHECKING, Protocol

from minirun.errors import MinirunError, NotFoundError

if TYPE_CHECKING:
    from minirun.instance import Instance
    from minirun.model import Container, Endpoint, Network

GROUP = "minirun.network_drivers"
BUILT_IN = {
    "bridge": ("minirun.network.drivers.bridge", "Bridge"),
    "cni": ("minirun.network.drivers.cni", "Cni"),
    "macvlan": ("minirun.network.drivers.macvlan", "Macvlan"),
}


class Driver(Protocol):
    """Each method works in the host's network namespace. Everything that `plug` makes must
    be found again from the record alone (network and endpoint), by a process that never saw it made."""

    pools: bool
    """Whether minirun gives the addresses, out of the network's pools, and sets them up inside the container. Without,
    `plug` does both and says in the endpoint that it returns what came of it."""

    on_lan: bool
    """Whether a subnet that is given is one of the host's surroundings, which then may have it too."""

    def settle(self, instance: "Instance", network: "Network") -> "Network":
        """Before it is written down: refuse options that it does not know (MinirunError), fill in what follows."""

    def ensure(self, instance: "Instance", network: "Network") -> None:
        """Have what the network itself needs on the host, however much of it is there already."""

    def remove(self, instance: "Instance", network: "Network") -> None:
        """Take that away; gone already is fine."""

    def plug(
        self,
        instance: "Instance",
        network: "Network",
        endpoint: "Endpoint",
        container: "Container",
    ) -> "Endpoint":
        """Make `endpoint.interface`, with `endpoint.mac`, in the namespace pinned as `container.name`."""

    def is_plugged(self, network: "Network", endpoint: "Endpoint", container: "Container") -> bool:
        """Whether that interface is still there, and leads into the network. Must be cheap."""

    def check(self, network: "Network", endpoint: "Endpoint", container: "Container") -> str:
        """Of one that is plugged in: what else is not as it was made, which minirun cannot know; "" when all is well.
        Asked by `network reload`."""

    def unplug(
        self,
        instance: "Instance",
        network: "Network",
        endpoint: "Endpoint",
        container: "Container",
    ) -> None:
        """Take the interface out of a namespace that lives on; gone already is fine. When the namespace dies this is
        called, too, if the driver has `unplugs_dying`."""

    unplugs_dying: bool
    """False: the kernel takes everything along with the namespace, and a container's end need not wait for anyone."""


def driver_named(name: str) -> Driver:
    """MinirunError when there is none of that name."""
    from importlib import import_module

    if name in BUILT_IN:
        module, attribute = BUILT_IN[name]
        made: Driver = getattr(import_module(module), attribute)()
        return made
    from importlib.metadata import entry_points  # 10 ms that the drivers of this package do not need

    for entry in entry_points(group=GROUP, name=name):
        try:
            found: Driver = entry.load()()
        except Exception as error:  # whatever a package of somebody else's does
            raise MinirunError(
                f"the network driver {name} cannot be loaded: {error}", f"it is {entry.value}"
            ) from error
        return found
    known = ", ".join(sorted({*BUILT_IN, *(entry.name for entry in entry_points(group=GROUP))}))
    raise NotFoundError(f"could not find plugin {name}: there is no such network driver", f"there is {known}")
