"""Making and removing volumes: the record first, and for the removal record and directory at one stroke."""

import fcntl
import os
from collections.abc import Iterable
from pathlib import Path

from minirun.archive.tree_walk import tree_size
from minirun.errors import ConflictError, MinirunError, NotFoundError
from minirun.instance import Instance
from minirun.kernel.files import remove_tree
from minirun.model import Container
from minirun.store import Store
from minirun.volume.records import Volume, add_volume, delete_volume, find_volume, tell_volume, users, volume_mounts


def new_name() -> str:
    return os.urandom(32).hex()


def home(instance: Instance, name: str) -> Path:
    return instance.root / "volumes" / name


def data_path(instance: Instance, volume: Volume) -> Path:
    return Path(volume.device) if volume.device else home(instance, volume.name) / "_data"


def create_volume(instance: Instance, volume: Volume) -> None:
    """One that is there already stays as it is."""
    with instance.store.write():
        add_volume(instance.store, volume)
    make_directory(instance, volume.name)


def record_volumes(store: Store, container: Container) -> None:
    """What a container needs that is not there yet, in the transaction that puts the container itself on record."""
    for mount in volume_mounts(container):
        add_volume(store, Volume(mount.source, anonymous=mount.anonymous))


def make_directory(instance: Instance, name: str) -> None:
    """In a transaction, so that no removal comes between the look at the record and the making."""
    place = home(instance, name)
    with instance.store.write():
        volume = find_volume(instance.store, name)
        if volume is None or volume.device:
            return
        for directory, mode in ((place.parent, 0o700), (place, 0o700), (place / "_data", 0o755)):
            directory.mkdir(mode=mode, exist_ok=True)


def tell_mounts(store: Store, container: Container, action: str) -> None:
    """`mount` and `unmount`, with Docker's attributes."""
    for mount in volume_mounts(container):
        details = {"destination": mount.target, "propagation": "", "read/write": str(not mount.read_only).lower()}
        tell_volume(store, mount.source, action, container=container.id, **(details if action == "mount" else {}))


# --- removal


def remove_volume(instance: Instance, name: str) -> None:
    with instance.store.write():
        if find_volume(instance.store, name) is None:
            raise NotFoundError(f"get {name}: no such volume")
        holders = users(instance.store).get(name)
        if holders:
            raise ConflictError(f"remove {name}: volume is in use - [{', '.join(holders)}]")
        _detach(instance, name)
    sweep(instance)


def detach_anonymous(instance: Instance, container: Container) -> None:
    """The volumes that had no name and go with a container, whose record is deleted in the same transaction: those
    that nobody else has. `sweep` removes what was in them."""
    held = users(instance.store)
    for name in {mount.source for mount in volume_mounts(container) if mount.anonymous}:
        volume = find_volume(instance.store, name)
        if volume is not None and volume.anonymous and name not in held:
            _detach(instance, name)


def prune_volumes(instance: Instance, chosen: Iterable[Volume]) -> tuple[list[str], int]:
    """(names removed, bytes). One that somebody uses meanwhile is left to them."""
    removed, freed = [], 0
    for volume in chosen:
        size = 0 if volume.device else tree_size(data_path(instance, volume))
        try:
            remove_volume(instance, volume.name)
        except MinirunError:
            continue
        removed.append(volume.name)
        freed += size
    return removed, freed


def _detach(instance: Instance, name: str) -> None:
    """Out of the way, with its record: who makes one of the same name finds an empty one."""
    trash = instance.root / "removed"
    try:
        trash.mkdir(mode=0o700, exist_ok=True)
        os.rename(home(instance, name), trash / f"{name[:64]}-{os.urandom(8).hex()}")
    except FileNotFoundError:
        pass  # never made, or its host directory is all there is
    delete_volume(instance.store, name)


def sweep(instance: Instance) -> None:
    """Remove what was moved to the side; what another command is removing is left to that."""
    trash = instance.root / "removed"
    if not trash.exists():
        return
    for name in os.listdir(trash):
        _remove(trash / name)
    try:
        with instance.store.write():  # not between another's look at it and its move
            os.rmdir(trash)
    except OSError:
        pass  # something has come meanwhile, or somebody else was first


def _remove(path: Path) -> None:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        remove_tree(path)
    except BlockingIOError:
        pass
    finally:
        os.close(fd)
