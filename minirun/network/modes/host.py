"""--net=host: the host's own network namespace. Nothing is made, so nothing is to be undone."""

from contextlib import ExitStack

from minirun.instance import Instance
from minirun.model import Container, Spec


class Host:
    def validate(self, instance: Instance, spec: Spec) -> None: ...

    def reserve(self, instance: Instance, container: Container) -> str:
        return ""

    def pin(self, instance: Instance, container: Container) -> str:
        return ""

    def connect(self, instance: Instance, container: Container, undo: ExitStack) -> list[str]:
        if container.spec.ports:
            return ["WARNING: Published ports are discarded when using host network mode"]
        return []
