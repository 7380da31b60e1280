"""What minirun changes on the host until the next boot, and how it was before: for `system reset`, which undoes it.

A file below /run for each change, written before it is made; both are gone after a boot. They belong to no state root:
two roots may need one setting, and the last one to be reset restores it.
"""

import os
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

from minirun.kernel.sysctl import sysctl_read, sysctl_write

_DIRECTORY = Path("/run/minirun-changes")
_NETNS = "/proc/thread-self/ns/net"


def host_setting_ensure(key: str, value: str) -> bool:
    """Write a sysctl of the host that differs, and remember its value. Return whether it was changed.

    A key that the kernel lacks is ignored.
    """
    present = sysctl_read(key)
    if present is None or present == value:
        return False
    remember(setting_name(key), f"{present}\n{value}")
    sysctl_write(key, value)
    return True


def remember(what: str, text: str = "") -> None:
    """Remember a change that is about to be made. Where /run cannot be written, the change is made all the same."""
    with suppress(OSError):
        _DIRECTORY.mkdir(mode=0o700, exist_ok=True)
        part = _DIRECTORY / f".{what}"
        part.write_text(text)
        part.rename(_DIRECTORY / what)


def remembered(prefix: str) -> dict[str, str]:
    """Return the changes whose names begin so, with their texts."""
    names = os.listdir(_DIRECTORY) if _DIRECTORY.is_dir() else []
    return {name: (_DIRECTORY / name).read_text() for name in sorted(names) if name.startswith(prefix)}


def forget(what: str) -> None:
    """Forget a change that was undone; the last one takes the directory along."""
    for name in (what, f".{what}"):
        (_DIRECTORY / name).unlink(missing_ok=True)
    with suppress(OSError):
        _DIRECTORY.rmdir()


def setting_name(key: str) -> str:
    """Return the name that the change of a sysctl of the caller's network namespace is remembered by."""
    return f"sysctl-{os.stat(_NETNS).st_ino}-{quote(key, safe='')}"
