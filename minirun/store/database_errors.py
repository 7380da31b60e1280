"""What is wrong with the state database, in one sentence: SQLite's own words are few."""

import errno
import os
from pathlib import Path

from minirun.errors import MinirunError
from minirun.kernel.procfs import lock_holders
from minirun.store import BUSY_SECONDS, DATABASE, UNTOUCHED


def of_database(error: Exception, root: Path) -> MinirunError:
    """By its result code: https://www.sqlite.org/rescode.html."""
    path = root / DATABASE
    name = getattr(error, "sqlite_errorname", "")
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return _locked(path)
    if name == "SQLITE_FULL" or (name.startswith(("SQLITE_IOERR", "SQLITE_CANTOPEN")) and _is_full(path)):
        return MinirunError(
            f"the state database {path} cannot be written: {os.strerror(errno.ENOSPC)}", "make room there"
        )
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return MinirunError(f"the state database {path} is damaged: {error}", UNTOUCHED)
    if not name:
        return MinirunError(f"the state database {path} is damaged: a record cannot be read ({error})", UNTOUCHED)
    return MinirunError(f"the state database {path} cannot be used: {error}")


def _locked(path: Path) -> MinirunError:
    files = [path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")]
    held = [f"process {pid} ({command})" for pid, command in lock_holders(files)]
    return MinirunError(
        f"the state database {path} has been locked for {BUSY_SECONDS} s by {', '.join(held) or 'another process'}",
        "try again when that is done",
    )


def _is_full(path: Path) -> bool:
    found = os.statvfs(path.parent)
    return not found.f_bavail or not found.f_favail
