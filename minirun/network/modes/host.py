"""--net=host: the host's own network namespace. Nothing is created, so nothing has to be undone."""

from minirun.instance import Instance
from minirun.model import Container, Spec


class HostMode:
    """The network mode `host`."""

    def validate(self, instance: Instance, spec: Spec) -> None:
        """Every request is valid: ports are discarded with a warning."""

    def allocate(self, instance: Instance, container: Container) -> str:
        """Allocate nothing; "" is the host's sandbox."""
        return ""

    def pin(self, instance: Instance, container: Container) -> str:
        """Pin nothing."""
        return ""

    def attach(self, instance: Instance, container: Container) -> list[str]:
        """Warn that ports are not published, in Docker's words."""
        if container.spec.ports:
            return ["WARNING: Published ports are discarded when using host network mode"]
        return []
