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
from itertools import count
from pathlib import Path

from minirun.archive.tree_walk import tree_size
from minirun.errors import MinirunError
from minirun.image import records
from minirun.image.layers import new_layer, sweep, users
from minirun.instance import Instance, lock_directory
from minirun.kernel.files import remove_tree
from minirun.store import Store

DIRECTORY = "build"
_MOUNTS = "mounts"
_REGULAR, _MOUNT = "regular", "exec.cachemount"  # kinds, as BuildKit calls them
_ENDING = 3.0  # seconds in which a build that was broken off has ended
_PAUSE = 0.1
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


def find(store: Store, key: str) -> Entry | None:
    """Return what the step `key` has led to, and remember that it was used."""
    row = store.db.execute("select * from build_cache where key = ?", (key,)).fetchone()
    if row is None:
        return None
    with store.write():
        store.db.execute("update build_cache set used = ? where key = ?", (time.time(), key))
    return Entry(**dict(row))


def add(store: Store, key: str, image_id: str, description: str, created: float) -> None:
    """Record what a step has led to, in the caller's transaction."""
    store.db.execute(
        "insert or replace into build_cache (key, image, description, created, used) values (?, ?, ?, ?, ?)",
        (key, image_id, description, created, time.time()),
    )


@contextmanager
def in_use(instance: Instance) -> Iterator[None]:
    """Keep others from removing anything of the cache, for the time of a build."""
    fd = _lock(instance, fcntl.LOCK_SH)
    try:
        yield
    finally:
        os.close(fd)


@contextmanager
def cache_mount(
    instance: Instance, name: str, sharing: str, fill: Callable[[Path], None], pause: Callable[[], None]
) -> Iterator[Path]:
    """Yield the directory of a cache mount, locked for the time of the block.

    sharing: `shared` by all, `locked` for one step at a time, or `private`: a second step gets another directory
    fill: gives a new directory its content, owner and mode; only a whole one is ever seen
    pause: called again and again while another step has it locked; it may raise
    """
    path, fd = _take_mount(instance, name, sharing, fill, pause)
    try:
        yield path
        os.utime(path)  # when it was used
    finally:
        os.close(fd)


def _take_mount(
    instance: Instance, name: str, sharing: str, fill: Callable[[Path], None], pause: Callable[[], None]
) -> tuple[Path, int]:
    for number in count():
        path = _mounts(instance) / sha256(f"{name}\0{number}".encode()).hexdigest()[:32]
        _make_mount(instance, path, fill)
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            if _lock_mount(fd, sharing, pause):
                return path, fd
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)
    raise AssertionError("there is always a next number")


def _make_mount(instance: Instance, path: Path, fill: Callable[[Path], None]) -> None:
    """Make the directory if there is none. What a killed build has half filled is removed with unfinished layers."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with lock_directory(path.parent):
        if not path.is_dir():
            with new_layer(instance) as directory:
                fill(directory)
                directory.rename(path)


def _lock_mount(fd: int, sharing: str, pause: Callable[[], None]) -> bool:
    how = fcntl.LOCK_SH if sharing == "shared" else fcntl.LOCK_EX
    while True:
        try:
            fcntl.flock(fd, how | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if sharing == "private":
                return False
        pause()


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


class BusyError(MinirunError):
    """A running build may need what the cache holds."""


def prune(instance: Instance, chosen: Callable[[CacheUse], bool]) -> tuple[list[str], int]:
    """Remove what `chosen` says of the cache. Return the ids, and the bytes freed.

    BusyError when a build runs, and goes on for longer than one takes to end.
    """
    if not (instance.root / DIRECTORY).is_dir():
        return [], 0
    ends_at = time.monotonic() + _ENDING
    while True:
        try:
            with _alone(instance):
                return _prune(instance, chosen)
        except BusyError:
            if time.monotonic() > ends_at:
                raise
            time.sleep(_PAUSE)


def remove_unused(instance: Instance) -> None:
    """Remove what no build has used for 60 days, unless another build is running."""
    latest = time.time() - _UNUSED
    row = instance.store.db.execute("select 1 from build_cache where used < ?", (latest,)).fetchone()
    if row or any(path.stat().st_mtime < latest for path in _mounts(instance).glob("*")):
        with suppress(BusyError), _alone(instance):
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
def _alone(instance: Instance) -> Iterator[None]:
    fd = _lock(instance, fcntl.LOCK_EX | fcntl.LOCK_NB)
    try:
        yield
    finally:
        os.close(fd)


def _lock(instance: Instance, how: int) -> int:
    """Lock the cache. Return the descriptor that holds the lock. BusyError if it is taken and `how` does not wait."""
    directory = instance.root / DIRECTORY
    directory.mkdir(mode=0o700, exist_ok=True)
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, how)
    except BaseException as error:
        os.close(fd)
        if isinstance(error, BlockingIOError):
            text = "a running build may need what the build cache holds"
            raise BusyError(text, "try again when it is done") from None
        raise
    return fd


def _mounts(instance: Instance) -> Path:
    return instance.root / DIRECTORY / _MOUNTS
