"""Removing one container, and pruning: stopped containers, and networks that no container uses."""

from minirun.archive.tree_walk import tree_size
from minirun.engine.lifecycle import delete
from minirun.engine.stop import begin_stop, wait_for_cleanup
from minirun.errors import MinirunError
from minirun.instance import Instance
from minirun.model import ACTIVE, Container, Network
from minirun.network.operations import remove_unused

_MAX_ATTEMPTS = 10  # each fails only when another command has started the container again


def remove(instance: Instance, container: Container, force: bool, volumes: bool = False) -> None:
    """Remove a stopped container; with `force`, kill a running one first. One that is gone meanwhile is fine.

    With `volumes`, its anonymous volumes go too. MinirunError for a running container without `force`.
    """
    current: Container | None = container
    for _ in range(_MAX_ATTEMPTS):
        if current is None:
            return
        if current.status in ACTIVE:
            _refuse_running(current, force)
            begin_stop(instance, current, 9, None, event="")()
        elif current.shim is not None:
            wait_for_cleanup(instance, current)
        if delete(instance, current, volumes or current.spec.auto_remove):
            return
        current = instance.store.container(container.id)
    raise MinirunError(f'cannot remove container "{container.name}": other commands keep starting it')


def _refuse_running(container: Container, force: bool) -> None:
    if not force:
        state = "paused" if container.paused else container.status
        raise MinirunError(
            f'cannot remove container "{container.name}": container is {state}:'
            " stop the container before removing or force remove",
            f"minirun rm -f {container.name}",
        )


def stopped_containers(instance: Instance) -> list[Container]:
    """The containers that `prune` would remove."""
    return [container for container in instance.store.containers() if container.status not in ACTIVE]


def prune_containers(instance: Instance, containers: list[Container]) -> tuple[list[str], int]:
    """Remove these containers. Returns the ids removed, and the bytes freed.

    One that another command starts or removes meanwhile is skipped.
    """
    removed, freed = [], 0
    for container in containers:
        size = tree_size(instance.container_dir(container.id) / "upper")
        try:
            remove(instance, container, force=False)
        except MinirunError:
            continue
        removed.append(container.id)
        freed += size
    return removed, freed


def prune_networks(instance: Instance, networks: list[Network]) -> list[str]:
    """Remove those of `networks` that no container is in, or would join at its next start. Returns their names."""
    wanted = {name for container in instance.store.containers() for name in container.spec.network.names}
    unused = [
        network
        for network in networks
        if network.name not in wanted and network.id not in wanted and not network.is_default
    ]
    return [network.name for network in remove_unused(instance, unused)]
