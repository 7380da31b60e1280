"""Create and remove volumes.

The record is created before the directory. A removal moves the directory to ROOT/removed in the transaction that
deletes the record, then deletes it; `sweep` deletes what a killed command left there.
"""

import fcntl
import os
from collections.abc import Iterable
from pathlib import Path

from minirun.archive.tree_walk import tree_size
from minirun.errors import ConflictError, MinirunError, NotFoundError
from minirun.instance import Instance
from minirun.kernel.files import remove_tree
from minirun.kernel.filesystems import ensure_unmounted
from minirun.model import Container
from minirun.store import Store
from minirun.volume.records import (
    Volume,
    add_volume,
    add_volume_event,
    delete_volume,
    find_volume,
    users,
    volume_mounts,
)


def new_name() -> str:
    """Return a name for an anonymous volume: 64 random hexadecimal digits."""
    return os.urandom(32).hex()


def volume_dir(instance: Instance, name: str) -> Path:
    """Return the directory that minirun keeps for a volume."""
    return instance.root / "volumes" / name


def data_path(instance: Instance, volume: Volume) -> Path:
    """Return the directory with a volume's files."""
    return Path(volume.device) if volume.device else volume_dir(instance, volume.name) / "_data"


def create_volume(instance: Instance, volume: Volume) -> None:
    """Create a volume. An existing one of that name stays as it is."""
    with instance.store.write():
        add_volume(instance.store, volume)
    make_directory(instance, volume.name)


def record_volumes(store: Store, container: Container) -> None:
    """Record the volumes of a container that do not exist, in the transaction that records the container."""
    for mount in volume_mounts(container):
        labels, options = dict(mount.volume_labels), dict(mount.volume_options)
        add_volume(store, Volume(mount.source, labels=labels, options=options, anonymous=mount.anonymous))


def make_directory(instance: Instance, name: str) -> None:
    """Create the directory of a volume on record; in a transaction, so that it cannot be removed in between."""
    directory = volume_dir(instance, name)
    with instance.store.write():
        volume = find_volume(instance.store, name)
        if volume is None or volume.device:
            return
        for path, mode in ((directory.parent, 0o700), (directory, 0o700), (directory / "_data", 0o755)):
            path.mkdir(mode=mode, exist_ok=True)


def add_mount_events(store: Store, container: Container, action: str) -> None:
    """Add an event `mount` or `unmount` for each volume of a container, with Docker's attributes."""
    for mount in volume_mounts(container):
        details = {"destination": mount.target, "propagation": "", "read/write": str(not mount.read_only).lower()}
        add_volume_event(store, mount.source, action, container=container.id, **(details if action == "mount" else {}))


def remove_volume(instance: Instance, name: str) -> None:
    """Remove a volume. NotFoundError if it does not exist, ConflictError if a container uses it."""
    with instance.store.write():
        if find_volume(instance.store, name) is None:
            raise NotFoundError(f"get {name}: no such volume")
        container_ids = users(instance.store).get(name)
        if container_ids:
            raise ConflictError(f"remove {name}: volume is in use - [{', '.join(container_ids)}]")
        _detach(instance, name)
    sweep(instance)


def detach_anonymous(instance: Instance, container: Container) -> None:
    """Detach the anonymous volumes of a container that no other uses, in the transaction that deletes its record.

    `sweep` deletes their files.
    """
    used = users(instance.store)
    for name in {mount.source for mount in volume_mounts(container) if mount.anonymous}:
        volume = find_volume(instance.store, name)
        if volume is not None and volume.anonymous and name not in used:
            _detach(instance, name)


def prune_volumes(instance: Instance, chosen: Iterable[Volume]) -> tuple[list[str], int]:
    """Remove volumes, except those that a container uses by now. Return the names removed and the bytes freed."""
    removed, freed = [], 0
    for volume in chosen:
        size = 0 if volume.options else tree_size(data_path(instance, volume))
        try:
            remove_volume(instance, volume.name)
        except MinirunError:
            continue
        removed.append(volume.name)
        freed += size
    return removed, freed


def _detach(instance: Instance, name: str) -> None:
    """Move a volume's directory away and delete the record: a new one of the same name is empty.

    What is mounted on it is somebody's file system, and must not be deleted with the directory.
    """
    ensure_unmounted(volume_dir(instance, name) / "_data")
    trash = instance.root / "removed"
    try:
        trash.mkdir(mode=0o700, exist_ok=True)
        os.rename(volume_dir(instance, name), trash / f"{name[:64]}-{os.urandom(8).hex()}")
    except FileNotFoundError:
        pass  # never created, or it stands for a host directory
    delete_volume(instance.store, name)


def sweep(instance: Instance) -> None:
    """Delete the files of removed volumes, except what another command is deleting."""
    trash = instance.root / "removed"
    if not trash.exists():
        return
    for name in os.listdir(trash):
        _remove(trash / name)
    try:
        with instance.store.write():  # not between another command's mkdir and rename
            os.rmdir(trash)
    except OSError:
        pass  # not empty any more, or removed by another command


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
