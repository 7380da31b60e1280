"""Find interfaces, files and cgroups that no record mentions: after a state root was deleted, or after a bug.

The kernel and the disk are read first, the records afterwards. A command writes the record of an object before it
creates the object, so what other commands create in the meantime is never reported as a leftover.
"""

import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from minirun.diagnostics.doctor.findings import WARNING, Finding
from minirun.instance import Instance
from minirun.kernel import cgroups, controllers
from minirun.kernel.files import remove_tree
from minirun.kernel.link_queries import interfaces
from minirun.kernel.links import link_del
from minirun.network.dns.veth import dns_veth_name


def leftovers(instance: Instance) -> Iterator[Finding]:
    """Report every leftover, each with a repair that removes it."""
    yield from _links(instance)
    files, groups = _directories(instance.root / "containers"), _cgroups(instance)
    yield from _unrecorded(instance, files, "files", "rm -rf", remove_tree)
    yield from _unrecorded(instance, groups, "a cgroup", "rmdir", lambda group: controllers.remove([group]))


def _links(instance: Instance) -> Iterator[Finding]:
    links = [link for link in interfaces() if link.alias.startswith(f"{instance.label} ")]
    networks = instance.store.networks()
    recorded = {network.bridge for network in networks} | {dns_veth_name(network) for network in networks}
    recorded |= {endpoint.veth for endpoint in instance.store.endpoints()}
    for link in links:
        if link.name not in recorded:
            what = f"interface {link.name} belongs to no recorded container or network"
            repair = partial(link_del, link.name)
            yield Finding(WARNING, what, f'alias "{link.alias}"', f"ip link del {link.name}", repair)


def _unrecorded(
    instance: Instance, directories: list[Path], kind: str, command: str, remove: Callable[[Path], None]
) -> Iterator[Finding]:
    """Report directories that are named by the id of a container that has no record."""
    ids = {container.id for container in instance.store.containers()}
    for path in directories:
        if path.name not in ids:
            what = f"{kind} of a container that has no record: {path.name[:12]}"
            yield Finding(WARNING, what, str(path), f"{command} {path}", partial(remove, path))


def _cgroups(instance: Instance) -> list[Path]:
    hierarchies = {home.top for home in controllers.homes().values()} | ({cgroups.unified()} - {None})
    return [group for top in sorted(map(str, hierarchies)) for group in _directories(Path(top) / instance.cgroup)]


def _directories(parent: Path) -> list[Path]:
    names = sorted(os.listdir(parent)) if parent.is_dir() else []
    return [parent / name for name in names if (parent / name).is_dir()]
