"""--net=container:X: the namespace of container X. Both meet on 127.0.0.1; addresses and ports are X's.

The namespace gets one more pin, under the new member's name, so it lives until its last member ends.
"""

from minirun.errors import FAILED, MinirunError
from minirun.instance import Instance
from minirun.kernel.netns import netns_attach
from minirun.model import Container, Spec, Status
from minirun.store.lookup import find_container


class ContainerMode:
    """The network mode `container:X`."""

    def validate(self, instance: Instance, spec: Spec) -> None:
        """Refuse ports, and an X that there is not. It has to run only when the container starts."""
        if spec.ports or spec.publish_all:
            raise MinirunError(
                "conflicting options: port publishing and the container type network mode",
                f"publish the port on {spec.network.container}, which owns the address",
                FAILED,
            )
        find_container(instance.store, spec.network.container, code=FAILED)

    def allocate(self, instance: Instance, container: Container) -> str:
        """Allocate nothing; the sandbox is the one X is in."""
        return _target(instance, container.spec).sandbox

    def pin(self, instance: Instance, container: Container) -> str:
        """Pin the namespace of X's first process under this container's name, too."""
        target = _target(instance, container.spec)
        if not target.sandbox or target.init is None:
            return ""
        netns_attach(container.name, target.init.pid)
        return container.name

    def attach(self, instance: Instance, container: Container) -> list[str]:
        """Attach nothing: X did."""
        return []


def _target(instance: Instance, spec: Spec) -> Container:
    target = find_container(instance.store, spec.network.container, code=FAILED)
    if target.status is not Status.RUNNING:
        raise MinirunError(
            f"cannot join network of a non running container: {target.name} ({target.status})",
            "start it first: its network namespace exists only while it runs",
            FAILED,
        )
    return target
