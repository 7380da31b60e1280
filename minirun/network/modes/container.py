"""--net=container:X: the namespace that X is in. Both meet on 127.0.0.1; addresses and ports are X's.

The namespace gets one more pin, under the newcomer's name: it stays alive until the last of its members goes.
"""

from contextlib import ExitStack

from minirun.errors import FAILED, MinirunError
from minirun.instance import Instance
from minirun.kernel.netns import netns_attach
from minirun.model import Container, Spec, Status
from minirun.store.lookup import find_container


class Joined:
    def validate(self, instance: Instance, spec: Spec) -> None:
        if spec.ports:
            raise MinirunError(
                "conflicting options: port publishing and the container type network mode",
                f"publish the port on {spec.network.container}, whose address it is",
                FAILED,
            )
        self._target(instance, spec)

    def reserve(self, instance: Instance, container: Container) -> str:
        return self._target(instance, container.spec).sandbox

    def pin(self, instance: Instance, container: Container) -> str:
        target = self._target(instance, container.spec)
        if not target.sandbox or target.init is None:
            return ""
        netns_attach(container.name, target.init.pid)
        return container.name

    def connect(self, instance: Instance, container: Container, undo: ExitStack) -> list[str]:
        return []

    def _target(self, instance: Instance, spec: Spec) -> Container:
        target = find_container(instance.store, spec.network.container, code=FAILED)
        if target.status is not Status.RUNNING:
            raise MinirunError(
                f"cannot join network of a non running container: {target.name} ({target.status})",
                "start it first: its network namespace exists only while it runs",
                FAILED,
            )
        return target
