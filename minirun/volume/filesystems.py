"""Volumes with a file system of their own: --opt type=tmpfs, nfs, ext4, ..., as Docker's local driver mounts them.

Such a volume is mounted on its directory while a container that uses it runs: the first one mounts it, the last one
unmounts it. Each does so with the lock on the volume's directory, and by the records, so that a killed command leaves
nothing which the end of its container does not take back.
https://docs.docker.com/reference/cli/docker/volume/create/#driver-specific-options
"""

import errno
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from minirun.errors import FAILED, MinirunError, describe
from minirun.instance import Instance, lock_directory
from minirun.kernel.filesystems import ensure_mounted, ensure_unmounted
from minirun.model import ACTIVE, Container
from minirun.volume.records import Volume, find_volume, volume_mounts
from minirun.volume.volumes import data_path, volume_dir

_MEANING = {
    errno.ENODEV: "this kernel has no such file system, see /proc/filesystems",
    errno.EINVAL: "the file system refuses these options or this device, see `dmesg`",
    errno.ENOENT: "the device does not exist on this host",
    errno.ENOTBLK: "the device is no block device",
}


def mount_volume(instance: Instance, volume: Volume) -> None:
    """Mount a volume for a container that is on record as starting. MinirunError if that fails."""
    with lock_directory(volume_dir(instance, volume.name)):
        _mount(instance, volume)


def unmount_volumes(instance: Instance, container: Container) -> None:
    """Unmount the volumes that an ended container was the last one to use. A failure is printed and stops nothing."""
    for volume in _with_filesystem(instance, container):
        with lock_directory(volume_dir(instance, volume.name)):
            try:
                _unmount_unused(instance, volume)
            except OSError as error:
                print(f"minirun: volume {volume.name}: {describe(error)}", file=sys.stderr)


@contextmanager
def volumes_mounted(instance: Instance, container: Container) -> Iterator[None]:
    """Within the block, the volumes of a stopped container are mounted; none of them begins or ends to be used.

    A tmpfs that nobody uses is not: what is copied there would be lost.
    """
    with ExitStack() as stack:
        for volume in _with_filesystem(instance, container):
            stack.enter_context(lock_directory(volume_dir(instance, volume.name)))
            if volume.is_ephemeral and not _is_used(instance, volume):
                continue
            stack.callback(_unmount_unused, instance, volume)
            _mount(instance, volume)
        yield


def mount_arguments(volume: Volume, resolve: Callable[[str], str]) -> tuple[str, str]:
    """Return device and options as the kernel takes them: it knows no host names.

    As in Docker, `resolve` finds the address of the host in `addr=HOST` of nfs and cifs, and in a cifs //HOST/SHARE.
    """
    device, options = volume.options.get("device", ""), volume.options.get("o", "")
    if volume.filesystem not in ("nfs", "nfs4", "cifs"):
        return device, options
    pairs = (word.partition("=") for word in options.split(","))
    words = [f"{key}{equals}{resolve(value) if key == 'addr' else value}" for key, equals, value in pairs]
    if volume.filesystem == "cifs" and device.startswith("//"):
        host, slash, share = device[2:].partition("/")
        device = f"//{resolve(host)}{slash}{share}"
    return device, ",".join(words)


def _mount(instance: Instance, volume: Volume) -> None:
    path = data_path(instance, volume)
    device, options = mount_arguments(volume, lambda host: _address_of(host, volume))
    try:
        ensure_mounted(volume.filesystem, device, options, path)
    except OSError as error:
        reason = (error.strerror or "").lower()
        raise MinirunError(
            f"error while mounting volume '{path}': failed to mount local volume: mount {device}:{path},"
            f" type: {volume.filesystem}, data: {options}: {reason}",
            _MEANING.get(error.errno or 0, ""),
            FAILED,
        ) from error


def _unmount_unused(instance: Instance, volume: Volume) -> None:
    if not _is_used(instance, volume):
        ensure_unmounted(data_path(instance, volume))


def _is_used(instance: Instance, volume: Volume) -> bool:
    """Return whether a container that uses the volume runs or starts."""
    users = (container for container in instance.store.containers() if container.status in ACTIVE)
    return any(mount.source == volume.name for container in users for mount in volume_mounts(container))


def _with_filesystem(instance: Instance, container: Container) -> list[Volume]:
    """The container's volumes of this kind, each once, in an order that is the same for all."""
    names = sorted({mount.source for mount in volume_mounts(container)})
    return [volume for name in names if (volume := find_volume(instance.store, name)) and volume.filesystem]


def _address_of(host: str, volume: Volume) -> str:
    """Resolve a host name by the host's own configuration, IPv4 first; an address stays as it is."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise MinirunError(
            f"error resolving passed in network volume address of volume {volume.name}: {host}: {error}",
            "addr= in --opt o= is the server's address or name",
            FAILED,
        ) from None
    return str(min(found, key=lambda entry: entry[0] is not socket.AF_INET)[4][0])
