"""Undoing what minirun has changed on the host (host_changes.py)."""

import errno
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from minirun.kernel.host_changes import forget, remembered, setting_name
from minirun.kernel.mount_namespace import first_mounts_entered
from minirun.kernel.netns import PINS, PINS_MADE, netns_names
from minirun.kernel.seam import shell
from minirun.kernel.syscalls import check, ffi, lib
from minirun.kernel.sysctl import sysctl_read, sysctl_write


@dataclass(frozen=True)
class HostSetting:
    """A sysctl that minirun has changed."""

    key: str
    before: str
    written: str

    def is_as_written(self) -> bool:
        """Whether nobody has changed it since."""
        return sysctl_read(self.key) == self.written

    def restore(self) -> None:
        """Write the value of before, and forget the change."""
        sysctl_write(self.key, self.before)
        self.forget()

    def forget(self) -> None:
        """Forget the change."""
        forget(setting_name(self.key))


def host_settings() -> list[HostSetting]:
    """Return the sysctls that minirun has changed in the caller's network namespace."""
    prefix = setting_name("")
    changes = ((unquote(name[len(prefix) :]), text.split("\n")) for name, text in remembered(prefix).items())
    return [HostSetting(key, *values) for key, values in changes if len(values) == 2]


@shell("umount {directory} && rmdir {directory}")
def pins_directory_remove(directory: Path) -> None:
    """Unmount and remove the directory of pins; one that is gone already is fine."""
    with first_mounts_entered(PINS.parent), suppress(FileNotFoundError):
        if lib.sys_umount2(os.fsencode(directory), lib.MNT_DETACH) < 0 and ffi.errno != errno.EINVAL:
            check(-1, directory)
        directory.rmdir()


def remove_pins_directory() -> None:
    """Remove /run/netns if minirun has made it and nothing is pinned there."""
    if remembered(PINS_MADE) and not netns_names():
        pins_directory_remove(PINS)
        forget(PINS_MADE)
