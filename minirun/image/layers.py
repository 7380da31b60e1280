"""The directories that images are made of, below layers/ in the state root.

One that is being made is locked by its maker, so that what no record names and nobody has locked is what a killed
command left behind: `sweep` takes it away.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from minirun.image import records
from minirun.image.records import Image
from minirun.instance import Instance
from minirun.kernel.files import remove_tree
from minirun.store import Store

MOST = 125  # layers of an image, as Docker has it; an overlay's options are a page, and hold more


@contextmanager
def new_layer(instance: Instance) -> Iterator[Path]:
    """An empty directory. At the end of the block it is on record, or it is removed again."""
    base = instance.root / "layers"
    base.mkdir(mode=0o700, exist_ok=True)
    directory = base / os.urandom(8).hex()
    with _locked(base, fcntl.LOCK_SH):  # no sweep between the next two lines
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
    """What no image needs any more. A few milliseconds at most when there is nothing to do."""
    _forget_removed(instance.store)
    base = instance.root / "layers"
    if not base.is_dir():
        return
    used = records.layers_in_use(instance.store)
    if used.issuperset(os.listdir(base)):
        return
    with _locked(base, fcntl.LOCK_EX):
        for name in set(os.listdir(base)) - used:
            _sweep_one(instance.store, base / name)


def users(store: Store) -> dict[str, list[str]]:
    """Ids of containers by the image's."""
    found: dict[str, list[str]] = {}
    for one in store.containers():
        found.setdefault(one.spec.image_id, []).append(one.id)
    return found


def set_removed(store: Store, image: Image, removed: bool) -> None:
    records.add(store, replace(image, details={**image.details, "removed": removed}))


def _forget_removed(store: Store) -> None:
    """Records that were only kept for containers, which are gone now."""
    removed = [one.id for one in records.all_images(store, removed=True) if one.details.get("removed")]
    if not removed:
        return
    with store.write():
        in_use = users(store)
        for image_id in removed:
            found = records.by_id(store, image_id)
            if image_id not in in_use and found is not None and found.details.get("removed"):
                records.delete(store, image_id)


def _sweep_one(store: Store, directory: Path) -> None:
    try:
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if directory.name not in records.layers_in_use(store):  # asked again: its maker may just have ended
            remove_tree(directory)
    except BlockingIOError:
        pass  # it is being made
    finally:
        os.close(fd)


@contextmanager
def _locked(directory: Path, how: int) -> Iterator[None]:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, how)
        yield
    finally:
        os.close(fd)
