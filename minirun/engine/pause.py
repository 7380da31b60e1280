"""pause and unpause: freezing a container's cgroup (cgroup v2 cgroup.freeze, or the v1 freezer)."""

import errno

from minirun.engine.lifecycle import tell
from minirun.errors import MinirunError
from minirun.instance import Instance
from minirun.kernel import freezer
from minirun.model import Container, Status


def freeze(instance: Instance, container: Container) -> None:
    """Pause a running container. MinirunError when it is not running, or paused already."""
    if container.status is not Status.RUNNING:
        raise MinirunError(f"Container {container.id} is not running")
    if container.paused:
        raise MinirunError(f"Container {container.id} is already paused")
    # Recorded before the effect: frozen but not on record, nobody could unpause it.
    instance.store.set_values(container.id, paused=1)
    try:
        freezer.freeze(freezer.freezer_group(instance.cgroup, container.id))
    except BaseException as error:
        instance.store.set_values(container.id, paused=0)
        if isinstance(error, OSError) and error.errno in (errno.ENOENT, errno.ENODEV):  # it has just ended
            raise MinirunError(f"Container {container.id} is not running") from error
        raise
    with instance.store.write():
        tell(instance.store, container.id, "pause")


def thaw(instance: Instance, container: Container) -> None:
    """Unpause a container."""
    freezer.thaw(freezer.freezer_group(instance.cgroup, container.id))
    with instance.store.write():
        instance.store.set_values(container.id, paused=0)
        tell(instance.store, container.id, "unpause")


def thaw_if_paused(instance: Instance, container: Container) -> None:
    """Unpause a container that another command has paused meanwhile."""
    current = instance.store.container(container.id)
    if current is not None and current.paused:
        thaw(instance, current)
