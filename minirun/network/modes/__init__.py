"""The network modes: host, none, container:X and bridge (the default bridge and custom networks).

`network/operations.py` asks a mode four things, in this order, once a start. Taking down needs no mode: what
`allocate` wrote is on record, and network/sandbox.py takes it back from the record alone, however far a start came.
A mode knows drivers, IPAM, ports and the firewall; it knows nothing of the engine.
"""

from typing import Protocol

from minirun.instance import Instance
from minirun.model import Container, Mode, Spec
from minirun.network.modes.bridge import BridgeMode
from minirun.network.modes.container import ContainerMode
from minirun.network.modes.host import HostMode
from minirun.network.modes.none import NoneMode


class NetworkMode(Protocol):
    """What a start asks of the container's network mode."""

    def validate(self, instance: Instance, spec: Spec) -> None:
        """Check the request without changing anything. MinirunError when it cannot work."""

    def allocate(self, instance: Instance, container: Container) -> str:
        """Record endpoints with their addresses. Return the sandbox: a container's id, "" for the host's.

        Called within the transaction that records the start.
        """

    def pin(self, instance: Instance, container: Container) -> str:
        """Pin the network namespace under the container's name. Return that name, "" for the host's namespace."""

    def attach(self, instance: Instance, container: Container) -> list[str]:
        """Attach the namespace to its networks and apply their rules. Return notes for the user.

        Called while the container's first process sets up its root file system.
        """


_MODES: dict[Mode, type[NetworkMode]] = {
    Mode.HOST: HostMode,
    Mode.NONE: NoneMode,
    Mode.CONTAINER: ContainerMode,
    Mode.BRIDGE: BridgeMode,
}


def mode_of(spec: Spec) -> NetworkMode:
    """Return the network mode that a container was created with."""
    return _MODES[spec.network.mode]()
