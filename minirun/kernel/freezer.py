"""Pausing a container and resuming it: by the v2 group's cgroup.freeze, or v1's freezer controller.

Signals do not work: a parent notices SIGSTOP, and any process may send SIGCONT. In v2 a frozen process can
still be killed; in v1 a kill waits until the thaw.
"""

import errno
import time
from pathlib import Path

from minirun.errors import FAILED, MinirunError
from minirun.kernel import cgroups, controllers

_PATIENCE = 10.0  # seconds; a process in an uninterruptible system call delays it


def freezer_group(instance: str, container_id: str) -> Path:
    """The group to freeze: the v2 one, which needs no controller for it, or on v1-only hosts the freezer's."""
    group = cgroups.container_cgroup(instance, container_id)
    home = controllers.homes().get("freezer")
    if group is None and home is not None:
        group = home.top / instance / container_id
    if group is None:
        raise MinirunError(
            "this host has neither a v2 cgroup hierarchy nor a v1 freezer to pause a container with",
            cgroups.remedy("it is for the host to mount one: mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified"),
            FAILED,
        )
    return group


def freeze(group: Path) -> None:
    """Freeze a group, and wait until all members are. Raises MinirunError, and thaws it, when that takes too long."""
    _switch(group, True)
    deadline = time.monotonic() + _PATIENCE
    while not is_frozen(group):
        if time.monotonic() > deadline:
            _switch(group, False)
            raise MinirunError(
                f"not all processes in {group} could be stopped within {_PATIENCE:.0f} s",
                "one of them waits for a device or a file system: look for state D in ps",
                FAILED,
            )
        time.sleep(0.001)


def thaw(group: Path) -> None:
    """Resume a group. One that is gone is fine: the container has ended."""
    try:
        _switch(group, False)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENODEV):  # ENODEV: removed between open and write
            raise


def is_frozen(group: Path) -> bool:
    """Return whether all members are frozen."""
    if (group / "cgroup.freeze").exists():
        return "frozen 1" in (group / "cgroup.events").read_text().splitlines()
    return (group / "freezer.state").read_text().strip() == "FROZEN"


def _switch(group: Path, frozen: bool) -> None:
    if (group / "cgroup.freeze").exists():
        controllers.setting_write(group, "cgroup.freeze", "1" if frozen else "0")
    else:
        controllers.setting_write(group, "freezer.state", "FROZEN" if frozen else "THAWED")
