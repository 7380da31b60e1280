"""The directories of image layers: layers/ in the state root.

The process that fills a layer holds a lock on it. A layer that no record names and no process has locked was left
behind by a killed command, and `sweep` removes it.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from minirun.image import records
from minirun.image.records import Image
from minirun.instance import Instance, lock_directory
from minirun.kernel.files import remove_tree
from minirun.model import Spec
from minirun.store import Store

MAX_LAYERS = 125  # of an image, as in Docker; overlayfs's options (one page) have room for more


@contextmanager
def new_layer(instance: Instance) -> Iterator[Path]:
    """Yield the empty directory of a new layer. It is removed after the block unless it is on record by then."""
    base = instance.root / "layers"
    base.mkdir(mode=0o700, exist_ok=True)
    directory = base / os.urandom(8).hex()
    with lock_directory(base, shared=True):  # no sweep between mkdir and flock
        directory.mkdir(mode=0o755)
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        fcntl.flock(fd, fcntl.LOCK_EX)
    try:
        yield directory
    finally:
        if directory.name not in records.layers_in_use(instance.store):
            remove_tree(directory)
        os.close(fd)


def sweep(instance: Instance) -> None:
    """Remove the layers that no image needs. Takes at most a few milliseconds if there is nothing to do."""
    _forget_removed(instance.store)
    base = instance.root / "layers"
    if not base.is_dir():
        return
    used = records.layers_in_use(instance.store)
    if used.issuperset(os.listdir(base)):
        return
    with lock_directory(base):
        for name in set(os.listdir(base)) - used:
            _sweep_layer(instance.store, base / name)


def users(store: Store) -> dict[str, list[str]]:
    """Return the ids of the containers that use each image: {image id: container ids}."""
    container_ids: dict[str, list[str]] = {}
    for container in store.containers():
        for image_id in images_of(container.spec):
            container_ids.setdefault(image_id, []).append(container.id)
    return container_ids


def images_of(spec: Spec) -> dict[str, str]:
    """Return the images that a container needs, its own and mounted ones: {id: the reference that was given}."""
    return {mount.image: mount.source for mount in spec.mounts if mount.kind == "image"} | {spec.image_id: spec.image}


def set_removed(store: Store, image: Image, removed: bool) -> None:
    """Hide an image from users while a stopped container needs its layers, or show it again."""
    records.add(store, replace(image, details={**image.details, "removed": removed}))


def _forget_removed(store: Store) -> None:
    """Delete the records of removed images whose last container is gone."""
    removed = [image.id for image in records.all_images(store, removed=True) if image.details.get("removed")]
    if not removed:
        return
    with store.write():
        in_use = users(store)
        for image_id in removed:
            image = records.by_id(store, image_id)
            if image_id not in in_use and image is not None and image.details.get("removed"):
                records.delete(store, image_id)


def _sweep_layer(store: Store, directory: Path) -> None:
    try:
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if directory.name not in records.layers_in_use(store):  # again: its process may have finished just now
            remove_tree(directory)
    except BlockingIOError:
        pass  # it is being filled
    finally:
        os.close(fd)
