"""Kernel settings under /proc/sys. Those below net/ are the ones of the caller's network namespace (sysctl(8))."""

import os
from pathlib import Path

from minirun.kernel.seam import shell

_ROOT = Path("/proc/sys")
_LARGEST = 4096  # bytes of a value


def sysctl_read(key: str) -> str | None:
    """The value, or None when this kernel has no such key (for example with IPv6 disabled)."""
    try:
        return _path(key).read_text().strip()
    except FileNotFoundError:
        return None


@shell("sysctl -w {key}={value}")
def sysctl_write(key: str, value: str, fd: int = -1) -> None:
    """Write a setting, whose file may be open as `fd`. Raises FileNotFoundError when this kernel has no such key."""
    if fd < 0:
        _path(key).write_text(value)
    else:
        os.pwrite(fd, value.encode(), 0)  # elsewhere than at the beginning the kernel ignores it


def sysctl_ensure(key: str, value: str) -> bool:
    """Write a setting that differs. Return whether it was changed; a key that the kernel lacks is ignored.

    The file is opened once: below net/ the kernel searches the entries of all network namespaces for each path, 0.5 ms
    with a thousand.
    """
    try:
        fd = os.open(_path(key), os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except OSError:  # /proc/sys may be read-only, and the value as it should be
        if (sysctl_read(key) or "").split() == value.split():
            return False
        sysctl_write(key, value)
        return True
    try:
        if os.read(fd, _LARGEST).split() == value.encode().split():
            return False
        sysctl_write(key, value, fd)
        return True
    finally:
        os.close(fd)


def sysctl_names(directory: str) -> list[str]:
    """The names below a directory of settings: of net/ipv6/conf, the interfaces."""
    try:
        return sorted(path.name for path in (_ROOT / directory).iterdir())
    except FileNotFoundError:
        return []


def _path(key: str) -> Path:
    # An interface name may hold dots ("eth0.5"), so keys are given with slashes where a name stands.
    return _ROOT / (key if "/" in key else key.replace(".", "/"))
