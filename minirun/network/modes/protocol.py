"""The protocol of a network mode: what the engine asks of it, in the order it asks.

`validate` looks and refuses; nothing is changed yet. `reserve` runs in the transaction that makes the container
start: it writes down what the sandbox will hold, and names the sandbox. `pin` makes the network namespace, before
the container's process. `connect` wires it, while that process is setting up its root file system.

There is no teardown here: what was reserved is on record, and network/sandbox.py takes it back from the record
alone, whatever the mode was and however far it came.
"""

from contextlib import ExitStack
from typing import Protocol

from minirun.instance import Instance
from minirun.model import Container, Spec


class Wiring(Protocol):
    def validate(self, instance: Instance, spec: Spec) -> None:
        """Raise MinirunError when this cannot work."""

    def reserve(self, instance: Instance, container: Container) -> str:
        """Write leases and ports; return the sandbox: an id, or "" for the host's own namespace."""

    def pin(self, instance: Instance, container: Container) -> str:
        """Have the namespace pinned under the container's name; return that name, or "" for the host's."""

    def connect(self, instance: Instance, container: Container, undo: ExitStack) -> list[str]:
        """Wire it to its networks. Returns notes for the user, such as a kernel setting that was changed."""
