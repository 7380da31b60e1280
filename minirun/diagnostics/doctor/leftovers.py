"""What is there and belongs to nobody on record: of a state root that was deleted, or of a fault of minirun's own.

First is seen what is there, then are read the records. What another command makes meanwhile is on record before it is
there, and so is never taken for a leftover.
"""

import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from minirun.diagnostics.doctor.findings import WARNING, Finding
from minirun.instance import Instance
from minirun.kernel import cgroups, controllers
from minirun.kernel.files import remove_tree
from minirun.kernel.links import link_del
from minirun.kernel.topology import interfaces
from minirun.network.dns.veth import leg_name


def leftovers(instance: Instance) -> Iterator[Finding]:
    yield from _links(instance)
    yield from _unknown(instance, _below(instance.root / "containers"), "files", "rm -rf", remove_tree)
    yield from _unknown(instance, _groups(instance), "a cgroup", "rmdir", lambda group: controllers.remove([group]))


def _links(instance: Instance) -> Iterator[Finding]:
    there = [link for link in interfaces() if link.alias.startswith("minirun ") and not instance.tag]
    networks = instance.store.networks()
    known = {network.bridge for network in networks} | {leg_name(network) for network in networks}
    known |= {end.veth for end in instance.store.endpoints()}
    for link in there:
        if link.name not in known:
            what = f"interface {link.name} belongs to no container and no network on record"
            mend = partial(link_del, link.name)
            yield Finding(WARNING, what, f'alias "{link.alias}"', f"ip link del {link.name}", mend)


def _unknown(
    instance: Instance, there: list[Path], kind: str, by_hand: str, remove: Callable[[Path], None]
) -> Iterator[Finding]:
    """Directories that bear the id of a container that is not on record."""
    containers = {one.id for one in instance.store.containers()}
    for path in there:
        if path.name not in containers:
            what = f"{kind} of a container that is not on record: {path.name[:12]}"
            yield Finding(WARNING, what, str(path), f"{by_hand} {path}", partial(remove, path))


def _groups(instance: Instance) -> list[Path]:
    tops = {home.top for home in controllers.homes().values()} | ({cgroups.unified()} - {None})
    return [group for top in sorted(str(one) for one in tops) for group in _below(Path(top) / instance.cgroup)]


def _below(place: Path) -> list[Path]:
    names = sorted(os.listdir(place)) if place.is_dir() else []
    return [place / name for name in names if (place / name).is_dir()]
