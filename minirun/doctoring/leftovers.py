"""What is there and belongs to nobody on record: of a state root that was deleted, or of a fault of minirun's own."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from minirun.doctoring.findings import WARNING, Finding
from minirun.files import remove_tree
from minirun.instance import Instance
from minirun.kernel import cgroups, controllers
from minirun.kernel.links import link_del
from minirun.kernel.netlink import Netlink
from minirun.kernel.topology import interfaces
from minirun.network.names import leg_name


def leftovers(instance: Instance) -> Iterator[Finding]:
    containers = {one.id for one in instance.store.containers()}
    yield from _links(instance)
    yield from _directories(instance, containers)
    yield from _groups(instance, containers)


def _links(instance: Instance) -> Iterator[Finding]:
    networks = instance.store.networks()
    known = {network.bridge for network in networks} | {leg_name(network) for network in networks}
    known |= {end.veth for end in instance.store.endpoints()}
    for link in interfaces():
        mine = link.alias.startswith("minirun ") and not instance.tag
        if mine and link.name not in known:
            what = f"interface {link.name} belongs to no container and no network on record"
            yield Finding(WARNING, what, f'alias "{link.alias}"', f"ip link del {link.name}", _remover(link.name))


def _remover(name: str) -> Callable[[], None]:
    def remove() -> None:
        netlink = Netlink()
        link_del(netlink, name)
        netlink.close()

    return remove


def _directories(instance: Instance, containers: set[str]) -> Iterator[Finding]:
    place = instance.root / "containers"
    for name in sorted(os.listdir(place)) if place.is_dir() else []:
        path = place / name
        if path.is_dir() and name not in containers:
            yield Finding(
                WARNING,
                f"files of a container that is not on record: {name[:12]}",
                str(path),
                f"rm -rf {path}",
                lambda path=path: remove_tree(path),  # type: ignore[misc]
            )


def _groups(instance: Instance, containers: set[str]) -> Iterator[Finding]:
    tops = {home.top for home in controllers.homes().values()} | ({cgroups.unified()} - {None})
    for top in sorted(Path(str(one)) for one in tops):
        place = top / instance.cgroup
        for name in sorted(os.listdir(place)) if place.is_dir() else []:
            group = place / name
            if group.is_dir() and name not in containers:
                yield Finding(
                    WARNING,
                    f"a cgroup of a container that is not on record: {name[:12]}",
                    str(group),
                    f"rmdir {group}",
                    lambda group=group: controllers.remove([group]),  # type: ignore[misc]
                )
