"""Network drivers: the protocol of a driver, and finding one by its name.

Networks, endpoints and repair call drivers; a driver calls the kernel, and of the other rooms the records.
`bridge`, `cni` and `macvlan` are built in. A Python package adds a driver by an entry point:

    [project.entry-points."minirun.network_drivers"]
    mine = "mypackage.driver:Mine"

The name is what `network create --driver` takes; the object is called without arguments and follows `Driver`.
"""

from typing import Protocol

from minirun.errors import MinirunError, NotFoundError
from minirun.instance import Instance
from minirun.model import Container, Endpoint, Network
from minirun.network.drivers.bridge import Bridge
from minirun.network.drivers.cni import Cni
from minirun.network.drivers.macvlan import Macvlan

GROUP = "minirun.network_drivers"


class Driver(Protocol):
    """What a kind of network does on the host.

    Each method is called in the host's network namespace. Whatever `attach` creates must be found again from the
    record alone (network and endpoint), by a process that did not create it.
    """

    uses_ipam: bool
    """Whether minirun allocates addresses from the network's pools and configures them in the container. If False,
    `attach` does both, and returns the endpoint with them."""

    on_lan: bool
    """Whether a requested subnet belongs to the host's own surroundings, so that the host may have it, too."""

    detaches_on_teardown: bool
    """Whether `detach` is called when the namespace is destroyed, too. If False, everything goes with the namespace,
    and the end of a container need not wait for the driver."""

    def validate(self, instance: Instance, network: Network) -> Network:
        """Return the network to record, with derived values. MinirunError for options that the driver refuses."""

    def ensure(self, instance: Instance, network: Network) -> None:
        """Create what the network needs on the host, as far as it is missing."""

    def remove(self, instance: Instance, network: Network) -> None:
        """Remove what `ensure` created. Idempotent."""

    def attach(self, instance: Instance, network: Network, endpoint: Endpoint, container: Container) -> Endpoint:
        """Create `endpoint.interface`, with `endpoint.mac`, in the namespace pinned as `container.name`."""

    def is_attached(self, network: Network, endpoint: Endpoint, container: Container) -> bool:
        """Return whether the interface exists and is connected to the network. Must be cheap."""

    def check(self, network: Network, endpoint: Endpoint, container: Container) -> str:
        """Return what else is wrong with an attached endpoint, "" for nothing. `network reload` calls it."""

    def detach(self, instance: Instance, network: Network, endpoint: Endpoint, container: Container) -> None:
        """Remove the interface from a namespace that lives on. Idempotent."""


_BUILT_IN: dict[str, type[Driver]] = {"bridge": Bridge, "cni": Cni, "macvlan": Macvlan}


def driver_named(name: str) -> Driver:
    """Return the driver with this name. NotFoundError when there is none, MinirunError when it cannot be loaded."""
    if name in _BUILT_IN:
        return _BUILT_IN[name]()
    from importlib.metadata import entry_points  # 25 ms, which a shim that wakes up would wait for

    for entry in entry_points(group=GROUP, name=name):
        try:
            driver: Driver = entry.load()()
        except Exception as error:  # whatever another package's import raises
            raise MinirunError(f"cannot load the network driver {name} ({entry.value}): {error}") from error
        return driver
    known = ", ".join(sorted({*_BUILT_IN, *(entry.name for entry in entry_points(group=GROUP))}))
    raise NotFoundError(f"could not find plugin {name}: no such network driver", f"the drivers are {known}")
