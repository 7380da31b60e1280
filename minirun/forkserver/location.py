"""Where the fork server of this installation is: csrc/launcher.c computes the same from its own path."""

import os
import sys
from pathlib import Path

DIRECTORY = Path("/run/minirun")  # only root can enter it
_FNV_OFFSET, _FNV_PRIME = 14695981039346656037, 1099511628211
_PLAIN = "libexec/minirun"  # the program without the server, beside bin/minirun, the launcher
_SERVER = "libexec/minirun-forkserver"


def launcher() -> Path | None:
    """The launcher of this installation; None when there is none: it was installed by pip alone."""
    program = Path(sys.argv[0] if sys.argv else "").absolute()
    if not program.match(f"*/{_PLAIN}"):
        return None
    path = program.parent.parent / "bin" / "minirun"
    return path if path.exists() else None


def server_program(launcher_path: Path) -> Path:
    """The program of the server."""
    return launcher_path.parent.parent / _SERVER


def socket_path(launcher_path: Path) -> Path:
    """The path of the server's socket, which is named by a hash (FNV-1a, 64 bits) of the launcher's path."""
    value = _FNV_OFFSET
    for byte in os.fsencode(os.path.realpath(launcher_path)):
        value = (value ^ byte) * _FNV_PRIME % (1 << 64)
    return DIRECTORY / f"{value:016x}.socket"
