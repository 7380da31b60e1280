"""Room on the disk that is kept for ending things: a full one could else be emptied by nobody, because to remove a
container, or to say that one has ended, takes a write to the state database first."""

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
_MOST, _LEAST, _STEP = 512 * 1024, 64 * 1024, 4096  # a new log of SQLite's, with its index, and some pages


def keep(root: Path) -> None:
    """Made again as soon as there is room. As much of it as there is room for."""
    path = root / "reserve"
    try:
        if path.exists() and path.stat().st_size:
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


def _allocated(fd: int, size: int) -> bool:
    try:
        os.posix_fallocate(fd, 0, size)
    except OSError:
        os.ftruncate(fd, 0)
        return False
    return True


def release(root: Path) -> bool:
    """False when there is none (any more)."""
    try:
        os.unlink(root / "reserve")
    except OSError:
        return False
    return True


def spending(root: Path, write: Callable[[], T]) -> T:
    """Do something that ends in more room; `write` may be done twice."""
    try:
        return write()
    except sqlite3.OperationalError as error:
        if getattr(error, "sqlite_errorname", "").startswith("SQLITE_BUSY") or not release(root):
            raise
    return write()
