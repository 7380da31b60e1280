"""Snapshots: the file system that a step of a build leaves, as layers on record.

A step writes into the upper directory of an overlay over the snapshot before it; what is there in the end becomes a
layer, without being copied.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from minirun.archive.chroot import Tree
from minirun.archive.layer_content import directory_digest
from minirun.archive.tree_walk import DIRECTORY, is_opaque, is_whiteout, lstat_at, tree_size, visit_tree
from minirun.errors import MinirunError, NotFoundError
from minirun.image import document, records
from minirun.image.build import cache
from minirun.image.layers import MAX_LAYERS, new_layer
from minirun.image.platforms import Platform
from minirun.image.records import Image, Layer
from minirun.instance import Instance
from minirun.kernel.files import move_content
from minirun.kernel.tree_root import Root


@dataclass(frozen=True)
class Snapshot:
    """What a step has led to.

    key: the step's in the cache (image/dockerfile/cache_keys.py); of a base image its id, of scratch ""
    image: the record that stands for it, None for scratch
    created: when, in seconds since the epoch, 0 for scratch
    """

    key: str = ""
    image: Image | None = None
    created: float = 0

    @property
    def layers(self) -> tuple[Layer, ...]:
        """Its layers, the base first."""
        return self.image.layers if self.image else ()

    @property
    def lower(self) -> str:
        """Its layers for overlayfs, as records.Image has them; "" for scratch."""
        return self.image.lower if self.image else ""


def of_image(image: Image) -> Snapshot:
    """Return the snapshot that an image is."""
    return Snapshot(image.id, image, image.created)


def cached(instance: Instance, key: str) -> Snapshot | None:
    """Return what the step `key` has led to in an earlier build."""
    found = cache.find(instance.store, key)
    image = records.by_id(instance.store, found.image) if found else None
    return Snapshot(key, image, found.created) if found and image else None


def remember(instance: Instance, snapshot: Snapshot, key: str, description: str) -> Snapshot:
    """Record that another key leads to the same snapshot, too."""
    assert snapshot.image is not None
    with instance.store.write():
        cache.add(instance.store, key, snapshot.image.id, description, snapshot.created)
    return Snapshot(key, snapshot.image, snapshot.created)


@contextmanager
def scratch_tree(instance: Instance, lower: str) -> Iterator[Tree]:
    """Yield the tree of a snapshot's layers, with an empty writable layer that is removed after the block."""
    with new_layer(instance) as scratch:
        directory = scratch / "tree"
        for path in (directory, *(directory / name for name in ("upper", "work", "rootfs"))):
            path.mkdir(mode=0o755)
        yield Tree(base=instance.root, directory=str(directory.relative_to(instance.root)), lower=lower)


def add_snapshot(
    instance: Instance,
    base: Snapshot,
    upper: Path,
    key: str,
    description: str,
    platform: Platform,
    created: float,
    latest: int | None = None,
) -> Snapshot:
    """Make a layer of what a step has written to `upper`, and record the snapshot under `key`.

    created: its time, in seconds since the epoch
    latest: no file of it gets a later time than this one (SOURCE_DATE_EPOCH)
    The directory `upper` is empty afterwards.
    """
    _check_depth(base, 1)
    with new_layer(instance) as directory:
        move_content(upper, directory)
        if latest is not None:
            limit_times(directory, latest)
        digest = directory_digest(directory)
        layer = Layer(digest.diff_id, directory.name, tree_size(directory), digest.tar_size)
        return _record(instance, (*base.layers, layer), key, description, platform, created, new=1)


def stack(
    instance: Instance, base: Snapshot, above: Snapshot, key: str, description: str, platform: Platform
) -> Snapshot:
    """Record the layers of `above` on top of those of `base`: COPY --link."""
    _check_depth(base, len(above.layers))
    return _record(instance, (*base.layers, *above.layers), key, description, platform, above.created)


def _check_depth(base: Snapshot, more: int) -> None:
    if len(base.layers) + more > MAX_LAYERS:
        raise MinirunError(f"max depth exceeded: an image has at most {MAX_LAYERS} layers", "join some RUN with &&")


def _record(
    instance: Instance,
    layers: tuple[Layer, ...],
    key: str,
    description: str,
    platform: Platform,
    created: float,
    new: int = 0,
) -> Snapshot:
    diff_ids = tuple(layer.diff_id for layer in layers)
    text = document.build({}, diff_ids, (), 0, platform.architecture)
    with instance.store.write():
        check_layers(instance, layers[: len(layers) - new])
        image = records.add_hidden(instance.store, text, layers)
        cache.add(instance.store, key, image.id, description, created)
    return Snapshot(key, image, created)


def check_layers(instance: Instance, layers: tuple[Layer, ...]) -> None:
    """Check, within a transaction, that no other command has removed a layer. NotFoundError if one has."""
    for layer in layers:
        if records.layer(instance.store, layer.diff_id) is None:
            raise NotFoundError("an image that this build needs was removed meanwhile", "try again")


def remove_stubs(upper: Path, base: Snapshot, root: Path, targets: list[str]) -> None:
    """Remove what was made in a step's writable layer only to mount something on: it is no result of the step.

    targets: absolute paths of mounts; each is empty, since what the program wrote there is in the mount
    root: the state root
    """
    layers = [Root(str(root / "layers" / layer.directory)) for layer in reversed(base.layers)]
    top = Root(str(upper))
    try:
        for target in sorted(targets, key=len, reverse=True):
            _remove_stub(top, layers, target.strip("/"))
    finally:
        for opened in (top, *layers):
            os.close(opened.fd)


def _remove_stub(top: Root, layers: list[Root], path: str) -> None:
    while path:
        above, _, name = path.rpartition("/")
        parent = _open(top, above)
        if parent is None:
            return
        try:
            status = lstat_at(parent, name)
            if status is None or not _is_stub(parent, name, status) or not _is_made_for_mount(layers, path, status):
                return
            if stat.S_ISDIR(status.st_mode):
                os.rmdir(name, dir_fd=parent)
            else:
                os.unlink(name, dir_fd=parent)
        finally:
            os.close(parent)
        path = above


def _is_stub(parent: int, name: str, status: os.stat_result) -> bool:
    if stat.S_ISDIR(status.st_mode):
        fd = os.open(name, DIRECTORY, dir_fd=parent)
        try:
            return not os.listdir(fd) and not is_opaque(fd)
        finally:
            os.close(fd)
    return stat.S_ISREG(status.st_mode) and status.st_size == 0 and status.st_nlink == 1


def _is_made_for_mount(layers: list[Root], path: str, status: os.stat_result) -> bool:
    """Return whether nothing of it is the program's: it is new, or a directory as it was before."""
    above, _, name = path.rpartition("/")
    for layer in layers:
        parent = _open(layer, above)
        if parent is None:
            continue
        try:
            before = lstat_at(parent, name)
        finally:
            os.close(parent)
        if before is not None:
            if is_whiteout(before):
                return True
            same = (before.st_mode, before.st_uid, before.st_gid) == (status.st_mode, status.st_uid, status.st_gid)
            return stat.S_ISDIR(status.st_mode) and same
    return True


def _open(root: Root, path: str) -> int | None:
    try:
        return root.open(path or ".", DIRECTORY, follow=False)
    except OSError:  # not there, or a symlink
        return None


def limit_times(directory: Path, latest: int) -> None:
    """Give everything below a directory no later time than `latest`, in seconds since the epoch."""

    def limit(parent: int, name: str, status: os.stat_result) -> None:
        if status.st_mtime > latest:
            os.utime(name, (latest, latest), dir_fd=parent, follow_symlinks=False)

    visit_tree(os.open(directory, DIRECTORY), limit)
