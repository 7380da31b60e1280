"""The build cache: which step has led to which snapshot (the table `build_cache`); what RUN --mount=type=cache keeps.

A snapshot is recorded as an image that users do not see. It stays while an entry of the cache names it, a container
uses it, or both. A running build holds a lock, so that nobody removes what it is working on.
"""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from minirun.archive.tree_walk import tree_size
from minirun.errors import MinirunError
from minirun.image import records
from minirun.image.layers import sweep, users
from minirun.image.records import Image
from minirun.instance import Instance
from minirun.kernel.files import remove_tree
from minirun.store import Store

DIRECTORY = "build"
_MOUNTS = "mounts"
_REGULAR, _MOUNT = "regular", "exec.cachemount"  # kinds, as BuildKit calls them
_UNUSED = 60 * 86400  # seconds: what no build has used for so long is removed by the next one


@dataclass(frozen=True)
class Entry:
    """One step on record.

    image: the id of the image that stands for its snapshot
    description: the instruction, as the history has it
    used: when a build used it last, in seconds since the epoch, as `created` is
    """

    key: str
    image: str
    description: str
    created: float
    used: float


@dataclass(frozen=True)
class CacheUse:
    """An entry and its size: bytes of the layers that no image has, and no older entry.

    is_part: all of its layers are part of images, so that removing it frees nothing
    is_used: a container runs on it
    """

    id: str
    kind: str  # regular, or exec.cachemount
    description: str
    created: float
    used: float
    size: int
    is_part: bool = False
    is_used: bool = False


def find(store: Store, key: str) -> Image | None:
    """Return the image of the snapshot that the step `key` has led to, and remember that it was used."""
    row = store.db.execute("select image from build_cache where key = ?", (key,)).fetchone()
    if row is None:
        return None
    with store.write():
        store.db.execute("update build_cache set used = ? where key = ?", (time.time(), key))
    return records.by_id(store, row["image"])


def entry_of(store: Store, key: str) -> Entry | None:
    """Return the entry of a step."""
    row = store.db.execute("select * from build_cache where key = ?", (key,)).fetchone()
    return Entry(**dict(row)) if row else None


def add(store: Store, key: str, image_id: str, description: str, created: float) -> None:
    """Record what a step has led to, in the caller's transaction."""
    store.db.execute(
        "insert or replace into build_cache (key, image, description, created, used) values (?, ?, ?, ?, ?)",
        (key, image_id, description, created, time.time()),
    )


@contextmanager
def in_use(instance: Instance) -> Iterator[None]:
    """Keep others from removing anything of the cache, for the time of a build."""
    with _locked(instance, fcntl.LOCK_SH):
        yield


@contextmanager
def cache_mount(instance: Instance, name: str, sharing: str) -> Iterator[tuple[Path, bool]]:
    """Yield the directory of a cache mount, and whether it is new.

    sharing: `shared` by all, `locked` for one step at a time, or `private`: a second step gets another directory
    """
    number = 0
    while True:
        path = _mounts(instance) / sha256(f"{name}\0{number}".encode()).hexdigest()[:32]
        is_new = not path.is_dir()
        path.mkdir(mode=0o755, parents=True, exist_ok=True)
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(fd, _HOW[sharing])
            yield path, is_new
        except BlockingIOError:
            number += 1
            continue
        finally:
            os.close(fd)
        os.utime(path)
        return


_HOW = {"shared": fcntl.LOCK_SH, "locked": fcntl.LOCK_EX, "private": fcntl.LOCK_EX | fcntl.LOCK_NB}


def uses(instance: Instance) -> list[CacheUse]:
    """Return what the cache holds, the newest first."""
    store = instance.store
    taken = users(store)
    parts = {layer.diff_id for image in records.all_images(store) for layer in image.layers}
    owned = set(parts)
    found: list[CacheUse] = []
    for row in store.db.execute("select * from build_cache order by created").fetchall():
        entry = Entry(**dict(row))
        image = records.by_id(store, entry.image)
        layers = image.layers if image else ()
        size = sum(layer.size for layer in layers if layer.diff_id not in owned)
        owned |= {layer.diff_id for layer in layers}
        is_part = all(layer.diff_id in parts for layer in layers)
        found.append(
            CacheUse(
                entry.key, _REGULAR, entry.description, entry.created, entry.used, size, is_part, entry.image in taken
            )
        )
    for path in sorted(_mounts(instance).glob("*")):
        status = path.stat()
        found.append(CacheUse(path.name, _MOUNT, "cache mount", status.st_ctime, status.st_mtime, tree_size(path)))
    return sorted(found, key=lambda use: -use.created)


def prune(instance: Instance, chosen: Callable[[CacheUse], bool] = lambda _: True) -> tuple[list[str], int]:
    """Remove what `chosen` says of the cache. Return the ids, and the bytes freed.

    MinirunError while a build is running.
    """
    if not (instance.root / DIRECTORY).is_dir():
        return [], 0
    try:
        with _locked(instance, fcntl.LOCK_EX | fcntl.LOCK_NB):
            return _prune(instance, chosen)
    except BlockingIOError:
        raise MinirunError("a running build may need what the cache holds", "try again when it is done") from None


def remove_unused(instance: Instance) -> None:
    """Remove what no build has used for 60 days, unless another build is running."""
    latest = time.time() - _UNUSED
    with suppress(BlockingIOError), _locked(instance, fcntl.LOCK_EX | fcntl.LOCK_NB):
        if instance.store.db.execute("select 1 from build_cache where used < ?", (latest,)).fetchone():
            _prune(instance, lambda use: use.used < latest)


def _prune(instance: Instance, chosen: Callable[[CacheUse], bool]) -> tuple[list[str], int]:
    store = instance.store
    removed = [use for use in uses(instance) if not use.is_used and chosen(use)]
    before = sum(records.bytes_on_disk(store).values())
    with store.write():
        for use in removed:
            store.db.execute("delete from build_cache where key = ?", (use.id,))
    sweep(instance)
    freed = before - sum(records.bytes_on_disk(store).values())
    for use in removed:
        if use.kind == _MOUNT:
            remove_tree(_mounts(instance) / use.id)
            freed += use.size
    return [use.id for use in removed], freed


@contextmanager
def _locked(instance: Instance, how: int) -> Iterator[None]:
    directory = instance.root / DIRECTORY
    directory.mkdir(mode=0o700, exist_ok=True)
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, how)
        yield
    finally:
        os.close(fd)


def _mounts(instance: Instance) -> Path:
    return instance.root / DIRECTORY / _MOUNTS
