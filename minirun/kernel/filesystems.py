"""File systems that several containers share: mounted once on the host, by mount(2) as mount(8) does without helpers.

All callers have to see such a mount: see `mount_namespace.is_elsewhere`.
"""

import errno
import os
from pathlib import Path

from minirun.kernel.mount_namespace import first_mounts_entered
from minirun.kernel.mounts import move_onto, unmount
from minirun.kernel.seam import shell
from minirun.kernel.syscalls import NULL, check, lib
from minirun.kernel.trees import tree_copy

_MOST_DATA = 4095  # bytes: the kernel reads a page
# Flags of mount(2), with the words of mount(8) that set and clear them. All other words are the file system's.
_WORDS = (
    (1, "ro", "rw"),
    (2, "nosuid", "suid"),
    (4, "nodev", "dev"),
    (8, "noexec", "exec"),
    (16, "sync", "async"),
    (64, "mand", "nomand"),
    (128, "dirsync", ""),
    (1 << 10, "noatime", "atime"),
    (1 << 11, "nodiratime", "diratime"),
    (1 << 15, "silent", "loud"),
    (1 << 21, "relatime", "norelatime"),
    (1 << 24, "strictatime", "nostrictatime"),
    (1 << 25, "lazytime", "nolazytime"),
)
_SETS = {sets: flag for flag, sets, _ in _WORDS}
_CLEARS = {clears: flag for flag, _, clears in _WORDS if clears} | {"defaults": 0}


def split_options(text: str) -> tuple[int, str]:
    """Split options of mount(8) into flags of mount(2) and what is left for the file system."""
    flags, data = 0, []
    for word in filter(None, text.split(",")):
        if word not in _SETS and word not in _CLEARS:
            data.append(word)
        flags = (flags | _SETS.get(word, 0)) & ~_CLEARS.get(word, 0)
    return flags, ",".join(data)


def ensure_mounted(kind: str, device: str, options: str, target: Path) -> None:
    """Mount a file system of `kind` on a directory, unless it is mounted; in the caller's own namespace, too.

    Raises OSError: ENODEV for an unknown kind, EINVAL for options that the file system refuses, others of the device.
    """
    with first_mounts_entered(target.parent):
        if not os.path.ismount(target):
            device_mount(kind, device, options, target)
    if os.path.ismount(target):
        return
    with first_mounts_entered(target.parent):
        tree = tree_copy(str(target), False)
    place = os.open(target, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        move_onto(tree, place, str(target))
    finally:
        os.close(place)


def ensure_unmounted(target: Path) -> None:
    """Unmount a directory for all callers; one that is not mounted is fine. Who still uses it may go on."""
    with first_mounts_entered(target.parent):
        _unmount_all(target)
    _unmount_all(target)


@shell("mount -i -t {kind} -o {options} {device} {target}")
def device_mount(kind: str, device: str, options: str, target: Path) -> None:
    """Mount a file system of a kind, with words of mount(8). Raises OSError."""
    flags, data = split_options(options)
    if len(os.fsencode(data)) > _MOST_DATA:
        raise OSError(errno.E2BIG, "the options are longer than a page", str(target))
    text = os.fsencode(data) if data else NULL
    check(lib.sys_mount(os.fsencode(device), os.fsencode(target), os.fsencode(kind), flags, text), target)


def _unmount_all(target: Path) -> None:
    while os.path.ismount(target):
        try:
            unmount(target)
        except OSError:
            if os.path.ismount(target):  # else another process has just done it
                raise
