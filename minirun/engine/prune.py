"""Removing what nobody uses: stopped containers, networks without containers."""

from minirun.archive.tree_walk import tree_size
from minirun.engine.stop import remove
from minirun.errors import MinirunError
from minirun.instance import Instance
from minirun.model import ACTIVE, Container, Network
from minirun.network.operations import remove_unused


def stopped_containers(instance: Instance) -> list[Container]:
    return [one for one in instance.store.containers() if one.status not in ACTIVE]


def prune_containers(instance: Instance, containers: list[Container]) -> tuple[list[str], int]:
    """(ids removed, bytes). One that somebody starts or removes meanwhile is left to them."""
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
    """Those of them that no container is in, nor would be when it starts."""
    wanted = {name for one in instance.store.containers() for name in one.spec.network.names}
    unused = [one for one in networks if one.name not in wanted and one.id not in wanted and not one.is_default]
    return [one.name for one in remove_unused(instance, unused)]
