"""A container's mounts before they are mounted: names and copies of others' at its creation, directories and
contents before its start."""

import errno
import os
from collections.abc import Iterator
from dataclasses import replace

from minirun.archive.chroot import Tree
from minirun.errors import FAILED, MinirunError
from minirun.init.plan import PlannedMount
from minirun.instance import Instance
from minirun.kernel.trees import propagation_of
from minirun.model import Container, Mount, Spec
from minirun.store.lookup import find_container
from minirun.volume.copy_up import CopyUp
from minirun.volume.records import Volume, find_volume
from minirun.volume.volumes import data_path, home, make_directory, new_name

_DEFAULT_PROPAGATION = "rprivate"


def settle_mounts(instance: Instance, spec: Spec) -> Spec:
    """At creation: what --volumes-from means, and a name for each volume that has none. What was asked for by name
    goes before what another container has at the same place, and that before a volume without a name."""
    named = [one for one in spec.mounts if not _is_nameless(one)]
    taken = {one.target for one in named}
    theirs = {one.target: one for one in _of_others(instance, spec) if one.target not in taken}
    taken |= theirs.keys()
    fresh = [replace(one, source=new_name(), anonymous=True) for one in _nameless(spec) if one.target not in taken]
    return replace(spec, mounts=(*named, *theirs.values(), *fresh))


def _is_nameless(mount: Mount) -> bool:
    return mount.kind == "volume" and not mount.source


def _nameless(spec: Spec) -> list[Mount]:
    return list({one.target: one for one in spec.mounts if _is_nameless(one)}.values())


def _of_others(instance: Instance, spec: Spec) -> Iterator[Mount]:
    for text in spec.volumes_from:
        name, _, mode = text.partition(":")
        for mount in find_container(instance.store, name, FAILED).spec.mounts:
            if mount.kind != "tmpfs":
                yield replace(mount, no_copy=True, read_only=mount.read_only or "ro" in mode.split(","))


def prepare(instance: Instance, container: Container, lower: str) -> None:
    """Everything is there to be mounted, or a sentence says what is not. Volumes are filled at their first use, which
    is before the container's first start."""
    for mount in container.spec.mounts:
        if mount.kind == "bind":
            _prepare_bind(mount)
        elif mount.kind == "volume":
            _prepare_volume(instance, container, lower, mount)


def _prepare_bind(mount: Mount) -> None:
    if not os.path.lexists(mount.source):
        if mount.must_exist:
            raise MinirunError(
                f'invalid mount config for type "bind": bind source path does not exist: {mount.source}', code=FAILED
            )
        os.makedirs(mount.source, exist_ok=True)  # as docker -v does
    kind = mount.propagation.removeprefix("r")
    if kind in ("shared", "slave"):
        place, found = propagation_of(mount.source)
        if not found & {"shared", kind}:
            wanted = "shared" if kind == "shared" else "shared or slave"
            raise MinirunError(
                f"path {mount.source} is mounted on {place} but it is not a {wanted} mount",
                f"mount --make-shared {place}",
                FAILED,
            )


def _prepare_volume(instance: Instance, container: Container, lower: str, mount: Mount) -> None:
    make_directory(instance, mount.source)
    volume = _volume_of(instance, mount)
    if volume.device and not os.path.isdir(volume.device):
        reason = os.strerror(errno.ENOENT).lower()
        raise MinirunError(f"failed to mount local volume {volume.name}: {volume.device}: {reason}", code=FAILED)
    if not (mount.no_copy or mount.subpath or container.started_at or volume.read_only):
        data = data_path(instance, volume)
        copy_up = CopyUp(data if volume.device else home(instance, volume.name), data)
        if copy_up.may_be_needed():
            tree = Tree(base=instance.root, directory=f"containers/{container.id}", lower=lower)
            copy_up.fill(tree, mount.target)


def planned_mounts(instance: Instance, spec: Spec, ids: tuple[int, ...]) -> tuple[PlannedMount, ...]:
    """In the order in which they are mounted: what lies deeper comes later. `ids` are those of its user namespace."""
    ordered = sorted(spec.mounts, key=lambda one: one.target.count("/"))
    return tuple(_planned(instance, one, ids) for one in ordered)


def _planned(instance: Instance, mount: Mount, ids: tuple[int, ...]) -> PlannedMount:
    if mount.kind == "tmpfs":
        options = ",".join(_outside(word, ids) for word in mount.options.split(",")) if ids else mount.options
        return "tmpfs", "", mount.target, mount.read_only, options, "", ""
    source, read_only = mount.source, mount.read_only
    if mount.kind == "volume":
        volume = _volume_of(instance, mount)
        source, read_only = str(data_path(instance, volume)), read_only or volume.read_only
    propagation = mount.propagation or _DEFAULT_PROPAGATION
    return "bind", source, mount.target, read_only, mount.options, propagation, mount.subpath


def _outside(option: str, ids: tuple[int, ...]) -> str:
    """uid= and gid= of a tmpfs as the host calls them, which mounts it."""
    key, _, value = option.partition("=")
    return f"{key}={ids[0] + int(value)}" if key in ("uid", "gid") and value.isdecimal() else option


def _volume_of(instance: Instance, mount: Mount) -> Volume:
    volume = find_volume(instance.store, mount.source)
    if volume is None:
        raise MinirunError(f"get {mount.source}: no such volume", code=FAILED)
    return volume
