"""What can go wrong with the database: SQLite's errors as sentences, and a reserve for a full disk.

Removing a container, or recording that one has ended, writes to the database first. Preallocated space lets that
succeed when the disk is full.
"""

import errno
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from minirun.errors import MinirunError
from minirun.kernel.procfs import lock_holders
from minirun.store import BUSY_SECONDS, DATABASE, UNTOUCHED

T = TypeVar("T")
_MOST, _LEAST, _STEP = 512 * 1024, 64 * 1024, 4096  # bytes: a new SQLite log, its index, some pages


def database_error(error: Exception, root: Path) -> MinirunError:
    """Return the error for users, by SQLite's result code: https://www.sqlite.org/rescode.html."""
    path = root / DATABASE
    name = getattr(error, "sqlite_errorname", "")
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return _locked(path)
    if name == "SQLITE_FULL" or (name.startswith(("SQLITE_IOERR", "SQLITE_CANTOPEN")) and _is_full(path)):
        return MinirunError(
            f"the state database {path} cannot be written: {os.strerror(errno.ENOSPC)}", "free some space there"
        )
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return MinirunError(f"the state database {path} is damaged: {error}", UNTOUCHED)
    if not name:
        return MinirunError(f"the state database {path} is damaged: a record cannot be read ({error})", UNTOUCHED)
    return MinirunError(f"the state database {path} cannot be used: {error}")


def _locked(path: Path) -> MinirunError:
    files = [path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")]
    holders = [f"process {pid} ({command})" for pid, command in lock_holders(files)]
    return MinirunError(
        f"the state database {path} has been locked for {BUSY_SECONDS} s by {', '.join(holders) or 'another process'}",
        "try again when it has finished",
    )


def _is_full(path: Path) -> bool:
    filesystem = os.statvfs(path.parent)
    return not filesystem.f_bavail or not filesystem.f_favail


def allocate_reserve(root: Path) -> None:
    """Allocate the reserve unless it exists, or as much of it as fits."""
    path = root / "reserve"
    try:
        if has_reserve(root):
            return
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError:
        return
    try:
        size = _MOST
        while size >= _LEAST and not _allocated(fd, size):
            size -= _STEP
    finally:
        os.close(fd)


def has_reserve(root: Path) -> bool:
    """Return whether there is a reserve."""
    try:
        return (root / "reserve").stat().st_size > 0
    except FileNotFoundError:
        return False


def release_reserve(root: Path) -> bool:
    """Free the reserve's space. Return False if there is none."""
    try:
        os.unlink(root / "reserve")
    except OSError:
        return False
    return True


def with_reserve(root: Path, write: Callable[[], T]) -> T:
    """Run `write`, which must be repeatable: if the disk is full, free the reserve and run it again."""
    try:
        return write()
    except sqlite3.OperationalError as error:
        if getattr(error, "sqlite_errorname", "").startswith("SQLITE_BUSY") or not release_reserve(root):
            raise
    return write()


def _allocated(fd: int, size: int) -> bool:
    try:
        os.posix_fallocate(fd, 0, size)
    except OSError:
        os.ftruncate(fd, 0)
        return False
    return True
