"""Kernel settings under /proc/sys. Those below net/ are the ones of the caller's network namespace (sysctl(8))."""

from pathlib import Path

from minirun.kernel.seam import shell

_ROOT = Path("/proc/sys")


def sysctl_read(key: str) -> str | None:
    """The value, or None when this kernel has no such key (for example with IPv6 disabled)."""
    try:
        return _path(key).read_text().strip()
    except FileNotFoundError:
        return None


@shell("sysctl -w {key}={value}")
def sysctl_write(key: str, value: str) -> None:
    """Write a setting. Raises FileNotFoundError when this kernel has no such key."""
    _path(key).write_text(value)


def sysctl_ensure(key: str, value: str) -> bool:
    """Write a setting that differs. Return whether it was changed; a key that the kernel lacks is ignored."""
    present = sysctl_read(key)
    if present is None or present.split() == value.split():
        return False
    sysctl_write(key, value)
    return True


def sysctl_names(directory: str) -> list[str]:
    """The names below a directory of settings: of net/ipv6/conf, the interfaces."""
    try:
        return sorted(path.name for path in (_ROOT / directory).iterdir())
    except FileNotFoundError:
        return []


def _path(key: str) -> Path:
    # An interface name may hold dots ("eth0.5"), so keys are given with slashes where a name stands.
    return _ROOT / (key if "/" in key else key.replace(".", "/"))
