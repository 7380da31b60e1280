"""--net=none: a network namespace of its own, with loopback and nothing else."""

from minirun.errors import FAILED, MinirunError
from minirun.instance import Instance
from minirun.model import Container, Spec
from minirun.network.sandbox import add_namespace


class NoneMode:
    """The network mode `none`."""

    def validate(self, instance: Instance, spec: Spec) -> None:
        """Refuse ports: there is no address to publish."""
        if spec.ports:
            raise MinirunError(
                "conflicting options: port publishing and the network mode none: it has no address to publish",
                "leave out -p, or use --net=bridge",
                FAILED,
            )

    def allocate(self, instance: Instance, container: Container) -> str:
        """Allocate no address; the sandbox is the container's own."""
        return container.id

    def pin(self, instance: Instance, container: Container) -> str:
        """Create the namespace."""
        add_namespace(instance, container)
        return container.name

    def attach(self, instance: Instance, container: Container) -> list[str]:
        """Attach nothing."""
        return []
