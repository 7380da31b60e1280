"""Who holds a lock on a file (proc_locks(5))."""

import os
from collections.abc import Iterable
from pathlib import Path


def lock_holders(files: Iterable[Path]) -> list[tuple[int, str]]:
    """(pid, command line) of each other process that has one of the files locked for writing, as far as it is seen."""
    wanted = set()
    for file in files:
        try:
            wanted.add(file.stat().st_ino)
        except OSError:
            continue
    pids = {pid for pid, inode in _write_locks() if inode in wanted and pid not in (-1, 0, os.getpid())}
    return [(pid, _command_line(pid)) for pid in sorted(pids)]


def _write_locks() -> Iterable[tuple[int, int]]:
    """(pid, inode). The device is not compared: a file system may show another one there than stat(2) does."""
    for line in Path("/proc/locks").read_text().splitlines():
        fields = line.split()
        if len(fields) == 8 and fields[3] == "WRITE":
            yield int(fields[4]), int(fields[5].rpartition(":")[2])


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace").strip()[:60]
    except OSError:
        return "?"
