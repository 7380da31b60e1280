"""A container's mounts before they are mounted.

When it is created: names for anonymous volumes, and the mounts of --volumes-from. Before it starts: the directories and
the content of volumes, and the plan for its first process.
"""

import errno
import os
from collections.abc import Iterator
from dataclasses import replace

from minirun.archive.chroot import Tree
from minirun.errors import FAILED, MinirunError
from minirun.image import records
from minirun.image.resolve import image_to_run
from minirun.init.plan import PlannedMount
from minirun.instance import Instance
from minirun.kernel.trees import propagation_of
from minirun.model import Container, Mount, Spec
from minirun.store.lookup import find_container
from minirun.volume.copy_up import CopyUp
from minirun.volume.filesystems import mount_volume
from minirun.volume.records import Volume, find_volume
from minirun.volume.volumes import data_path, make_directory, new_name, volume_dir

_DEFAULT_PROPAGATION = "rprivate"


def settle_mounts(instance: Instance, spec: Spec) -> Spec:
    """Resolve --volumes-from and mounted images, and name the anonymous volumes, when a container is created.

    Of several mounts with one target, the container's own comes first, then that of --volumes-from, then an anonymous
    volume. NotFoundError if --volumes-from names an unknown container.
    """
    named = [mount for mount in spec.mounts if not _is_nameless(mount)]
    targets = {mount.target for mount in named}
    shared = {mount.target: mount for mount in _volumes_from(instance, spec) if mount.target not in targets}
    targets |= shared.keys()
    nameless = {mount.target: mount for mount in spec.mounts if _is_nameless(mount) and mount.target not in targets}
    anonymous = [replace(mount, source=new_name(), anonymous=True) for mount in nameless.values()]
    named = [_with_image(instance, mount) if mount.kind == "image" else mount for mount in named]
    return replace(spec, mounts=(*named, *shared.values(), *anonymous))


def _with_image(instance: Instance, mount: Mount) -> Mount:
    return mount if mount.image else replace(mount, image=image_to_run(instance, mount.source).id)


def _is_nameless(mount: Mount) -> bool:
    return mount.kind == "volume" and not mount.source


def _volumes_from(instance: Instance, spec: Spec) -> Iterator[Mount]:
    for text in spec.volumes_from:
        name, _, mode = text.partition(":")
        for mount in find_container(instance.store, name, FAILED).spec.mounts:
            if mount.kind != "tmpfs":
                read_only = mount.read_only or "ro" in mode.split(",")
                yield replace(mount, no_copy=True, read_only=read_only, shared=True)


def prepare(instance: Instance, container: Container, lower: str) -> None:
    """Prepare the sources of a container's mounts before it starts; `lower` are the image's layers.

    Empty volumes are filled before the container's first start. MinirunError if something cannot be mounted.
    """
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
        mount_point, current = propagation_of(mount.source)
        if not current & {"shared", kind}:
            required = "shared" if kind == "shared" else "shared or slave"
            raise MinirunError(
                f"path {mount.source} is mounted on {mount_point} but it is not a {required} mount",
                f"mount --make-shared {mount_point}",
                FAILED,
            )


def _prepare_volume(instance: Instance, container: Container, lower: str, mount: Mount) -> None:
    make_directory(instance, mount.source)
    volume = _volume_of(instance, mount)
    if volume.device and not os.path.isdir(volume.device):
        reason = os.strerror(errno.ENOENT).lower()
        raise MinirunError(f"failed to mount local volume {volume.name}: {volume.device}: {reason}", code=FAILED)
    if volume.filesystem:
        if container.shim is None:  # it is only created
            return
        mount_volume(instance, volume)
    # An ephemeral one would have the content in its first use only.
    if not (mount.no_copy or mount.subpath or container.started_at or volume.read_only or volume.is_ephemeral):
        data = data_path(instance, volume)
        copy_up = CopyUp(data if volume.options else volume_dir(instance, volume.name), data)
        if copy_up.may_be_needed():
            tree = Tree(base=instance.root, directory=f"containers/{container.id}", lower=lower)
            copy_up.fill(tree, mount.target)


def planned_mounts(instance: Instance, spec: Spec, ids: tuple[int, ...]) -> tuple[PlannedMount, ...]:
    """Return the mounts in the order in which they are mounted: deeper targets come later.

    `ids` is (first host id, count) of the container's user namespace, () without one.
    """
    ordered = sorted(spec.mounts, key=lambda mount: mount.target.count("/"))
    return tuple(_planned(instance, mount, ids) for mount in ordered)


def _planned(instance: Instance, mount: Mount, ids: tuple[int, ...]) -> PlannedMount:
    if mount.kind == "image":
        image = records.by_id(instance.store, mount.image)
        if image is None:
            raise MinirunError(f"the image {mount.source}, mounted at {mount.target}, is gone", code=FAILED)
        return "image", image.lower, mount.target, True, "", "", mount.subpath
    if mount.kind == "tmpfs":
        options = ",".join(_host_id(word, ids) for word in mount.options.split(",")) if ids else mount.options
        return "tmpfs", "", mount.target, mount.read_only, options, "", ""
    source, read_only = mount.source, mount.read_only
    if mount.kind == "volume":
        volume = _volume_of(instance, mount)
        source, read_only = str(data_path(instance, volume)), read_only or volume.read_only
        if volume.is_ephemeral and not os.path.ismount(source):  # of a stopped container, for `cp`
            return "tmpfs", "", mount.target, read_only, "", "", ""
    propagation = mount.propagation or _DEFAULT_PROPAGATION
    return "bind", source, mount.target, read_only, mount.options, propagation, mount.subpath


def _host_id(option: str, ids: tuple[int, ...]) -> str:
    """Convert uid= and gid= of a tmpfs to ids of the host, which mounts it."""
    key, _, value = option.partition("=")
    return f"{key}={ids[0] + int(value)}" if key in ("uid", "gid") and value.isdecimal() else option


def _volume_of(instance: Instance, mount: Mount) -> Volume:
    volume = find_volume(instance.store, mount.source)
    if volume is None:
        raise MinirunError(f"get {mount.source}: no such volume", code=FAILED)
    return volume
