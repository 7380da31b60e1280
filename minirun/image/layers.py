"""Where layers lie in the state root: unpacked in directories of layers/, as they were transferred in files of blobs/.

The process that fills one holds a lock on it. What no record names and no process has locked was left behind by a
killed command, and `sweep` removes it; but a partial download stays, for the next pull to go on with.
"""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from minirun.image import records
from minirun.instance import Instance, lock_directory
from minirun.kernel.files import remove_tree
from minirun.model import Spec
from minirun.store import Store

LAYERS, BLOBS = "layers", "blobs"
_PARTIAL = "partial-"
MAX_LAYERS = 125  # of an image, as in Docker; overlayfs's options (one page) have room for more


@contextmanager
def new_layer(instance: Instance) -> Iterator[Path]:
    """Yield the empty directory of a new layer. It is removed after the block unless it is on record by then."""
    base = instance.root / LAYERS
    with _new_entry(base, lambda path: path.mkdir(mode=0o755)) as directory:
        try:
            yield directory
        finally:
            if directory.name not in records.layers_in_use(instance.store):
                remove_tree(directory)


@contextmanager
def new_blob(instance: Instance) -> Iterator[Path]:
    """Yield the empty file of a new blob. It is removed after the block unless it is on record by then."""
    with _new_entry(instance.root / BLOBS, lambda path: path.touch(mode=0o600)) as file:
        try:
            yield file
        finally:
            if file.name not in records.blobs_in_use(instance.store):
                file.unlink()


@contextmanager
def _new_entry(base: Path, make: Callable[[Path], None]) -> Iterator[Path]:
    """Yield the path of a new entry of `base`, locked."""
    base.mkdir(mode=0o700, exist_ok=True)
    path = base / os.urandom(8).hex()
    with lock_directory(base, shared=True):  # no sweep between making and locking it
        make(path)
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        fcntl.flock(fd, fcntl.LOCK_EX)
    try:
        yield path
    finally:
        os.close(fd)


def sweep(instance: Instance) -> None:
    """Remove the layers and blobs that no image needs. Takes at most a few milliseconds if there is nothing to do."""
    store = instance.store
    _forget_removed(store)
    _sweep(instance.root / LAYERS, lambda: records.layers_in_use(store), remove_tree)
    _sweep(instance.root / BLOBS, lambda: records.blobs_in_use(store) | _partial(instance), Path.unlink)


def remove_partial(instance: Instance) -> int:
    """Remove the partial downloads that no process is at. Return the number of bytes freed."""
    before = partial_size(instance)
    _sweep(instance.root / BLOBS, lambda: records.blobs_in_use(instance.store), Path.unlink)
    return max(0, before - partial_size(instance))


def partial_size(instance: Instance) -> int:
    """Return the bytes of all partial downloads."""
    size = 0
    for name in _partial(instance):
        with suppress(FileNotFoundError):  # completed just now
            size += (instance.root / BLOBS / name).stat().st_size
    return size


@contextmanager
def partial_download(instance: Instance, digest: str) -> Iterator[Path]:
    """Yield the file of a download, locked: what an earlier one has left of it, or empty.

    Waits until no other process is at it. It stays after the block; whoever completes it renames it.
    """
    base = instance.root / BLOBS
    base.mkdir(mode=0o700, exist_ok=True)
    path = base / f"{_PARTIAL}{digest}"
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(fd, fcntl.LOCK_EX)
        if path.exists() and path.stat().st_ino == os.fstat(fd).st_ino:
            break
        os.close(fd)  # the other process has completed it, or it was removed
    try:
        yield path
    finally:
        if path.exists() and not path.stat().st_size:
            path.unlink()
        os.close(fd)


def _partial(instance: Instance) -> set[str]:
    base = instance.root / BLOBS
    return {name for name in os.listdir(base) if name.startswith(_PARTIAL)} if base.is_dir() else set()


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


def _forget_removed(store: Store) -> None:
    """Delete the records of removed images whose last container is gone."""
    if not records.removed_ids(store):
        return
    with store.write():
        for image_id in records.removed_ids(store) - set(users(store)):
            records.delete(store, image_id)


def _sweep(base: Path, in_use: Callable[[], set[str]], remove: Callable[[Path], None]) -> None:
    if not base.is_dir() or in_use().issuperset(os.listdir(base)):
        return
    with lock_directory(base):
        for name in set(os.listdir(base)) - in_use():
            _sweep_entry(base / name, in_use, remove)


def _sweep_entry(path: Path, in_use: Callable[[], set[str]], remove: Callable[[Path], None]) -> None:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if path.name not in in_use():  # again: its process may have finished just now
            remove(path)
    except BlockingIOError:
        pass  # it is being filled
    finally:
        os.close(fd)
