"""The processes of a running container, as the host numbers them."""

from minirun.engine.lifecycle import is_alive
from minirun.errors import MinirunError
from minirun.instance import Instance
from minirun.kernel import cgroups, controllers
from minirun.kernel.procfs import namespace_members
from minirun.model import Container, Status


def is_running(container: Container) -> bool:
    return container.status is Status.RUNNING and is_alive(container.init)


def member_pids(instance: Instance, container: Container) -> list[int]:
    """In order. Those of its group; on a host without the v2 hierarchy, those of its pid namespace."""
    if container.init is None:
        return []
    group = cgroups.container_cgroup(instance.cgroup, container.id)
    return sorted(namespace_members(container.init.pid) if group is None else controllers.members(group))


def require_running(container: Container) -> None:
    if container.status is Status.RESTARTING:
        raise MinirunError(f"Container {container.id} is restarting, wait until the container is running")
    if not is_running(container):
        raise MinirunError(f"container {container.id} is not running")
