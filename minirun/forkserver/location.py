"""Where the fork server of this installation listens: csrc/launcher.c computes the same."""

import os
import sys
from pathlib import Path

DIRECTORY = Path("/run/minirun")  # only root can enter it
_FNV_OFFSET, _FNV_PRIME = 14695981039346656037, 1099511628211
_PROGRAM = "libexec/minirun"  # beside bin/minirun, the launcher


def launcher() -> Path | None:
    """The launcher of this installation; None when there is none: it was installed by pip alone."""
    program = Path(sys.argv[0] if sys.argv else "").absolute()
    if not program.match(f"*/{_PROGRAM}"):
        return None
    found = program.parent.parent / "bin" / "minirun"
    return found if found.exists() else None


def socket_path(launcher_path: Path) -> Path:
    """The path of the server's socket, which is named by a hash (FNV-1a, 64 bits) of the launcher's path."""
    value = _FNV_OFFSET
    for byte in os.fsencode(os.path.realpath(launcher_path)):
        value = (value ^ byte) * _FNV_PRIME % (1 << 64)
    return DIRECTORY / f"{value:016x}.socket"


def program(libexec: Path) -> str:
    """What argv[0] of a command is when Python is started for it."""
    return str(libexec / "minirun")
