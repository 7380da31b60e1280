"""What a container uses: from its groups, and where no controller counts, from /proc.

On a hybrid host a container without limits has only a v2 group, which counts CPU time without any controller.

figure   from the groups, the first that knows it             without: summed over the container's processes
CPU      v2 cpu.stat, v1 cpuacct.usage                         user and system time, of children that have ended too
memory   memory.current or usage_in_bytes, less inactive_file  PSS: its share of what it shares; no page cache, no tmpfs
limit    memory.max or limit_in_bytes, at most the host's      the host's memory
pids     pids.current                                          threads
block    v2 io.stat, v1 blkio                                  /proc/PID/io, of children that have ended too

The sums lack what ended processes used that were not children of members (the first process of an `exec`).
"""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from minirun.kernel.controllers import members
from minirun.kernel.procfs import TICKS

T = TypeVar("T")
_TICK_NS = 1_000_000_000 // TICKS


@dataclass(frozen=True)
class Usage:
    """One reading; a rate is the difference of two."""

    cpu_ns: int  # used by the container since its start
    system_cpu_ns: int  # passed on all CPUs of the host since boot, idle or not
    online_cpus: int
    memory_bytes: int  # without the file cache that the kernel could drop at once, as docker stats counts
    memory_limit: int  # bytes: the container's, or the host's memory
    pids: int  # processes and threads
    block_read: int | None  # bytes; None where nothing counts them
    block_write: int | None


def usage(paths: Sequence[Path], others: Sequence[int] = ()) -> Usage:
    """Read the usage of a container from its groups, in any order: each figure comes from the first that has it.

    `others`: its processes, for hosts where it has no group.
    """
    pids: Sequence[int] = next((inside for path in paths if (inside := members(path))), others)
    system, cpus = _system_cpu()
    cpu, memory = _first(paths, _group_cpu), _first(paths, _group_memory)
    tasks, block = _first(paths, _group_tasks), _first(paths, _group_block) or _processes_block(pids)
    host = _memory_total()
    return Usage(
        cpu_ns=sum(map(_process_cpu, pids)) if cpu is None else cpu,
        system_cpu_ns=system,
        online_cpus=cpus,
        memory_bytes=sum(map(_process_memory, pids)) if memory is None else memory,
        memory_limit=min(host, _first(paths, _group_memory_limit) or host),
        pids=sum(map(_process_threads, pids)) if tasks is None else tasks,
        block_read=block and block[0],
        block_write=block and block[1],
    )


def oom_killed(paths: Sequence[Path]) -> bool:
    """Return whether the kernel killed a process in these groups because memory ran out. Ask before removing them."""
    for name in ("memory.events", "memory.oom_control"):  # v2, v1 (since Linux 4.13)
        for path in paths:
            if _keyed(path / name).get("oom_kill"):
                return True
    return False


def _first(paths: Sequence[Path], ask: Callable[[Path], T | None]) -> T | None:
    return next((answer for path in paths if (answer := ask(path)) is not None), None)


# --- from groups


def _group_cpu(path: Path) -> int | None:
    microseconds = _keyed(path / "cpu.stat").get("usage_usec")  # v1 has a file of this name without it
    return _number(path / "cpuacct.usage") if microseconds is None else microseconds * 1000


def _group_memory(path: Path) -> int | None:
    for current, cache in (("memory.current", "inactive_file"), ("memory.usage_in_bytes", "total_inactive_file")):
        used = _number(path / current)
        if used is not None:
            return max(0, used - _keyed(path / "memory.stat").get(cache, 0))
    return None


def _group_memory_limit(path: Path) -> int | None:
    limit = _number(path / "memory.max")
    return _number(path / "memory.limit_in_bytes") if limit is None else limit


def _group_tasks(path: Path) -> int | None:
    return _number(path / "pids.current")


def _group_block(path: Path) -> tuple[int, int] | None:
    """Bytes read and written. v2: `8:0 rbytes=1 wbytes=2 ...`; v1: `8:0 Read 1`, and a last line `Total 3`."""
    text = _text(path / "io.stat")
    if text is not None:
        pairs = [word.partition("=") for word in text.split()]
        return _total(pairs, "rbytes"), _total(pairs, "wbytes")
    text = _text(path / "blkio.throttle.io_service_bytes_recursive")
    if text is not None:
        lines = [line.split() for line in text.splitlines() if line.count(" ") == 2]
        triples = [(what, device, value) for device, what, value in lines]
        return _total(triples, "Read"), _total(triples, "Write")
    return None


def _total(triples: Sequence[tuple[str, str, str]], key: str) -> int:
    return sum(int(value) for name, _, value in triples if name == key)


# --- from /proc


def memory_with_children(pid: int) -> int:
    """Bytes that a process and its children use (proc_pid_smaps(5)), shared pages in part; 0 when it is gone."""
    children = _text(Path(f"/proc/{pid}/task/{pid}/children")) or ""
    return sum(map(_process_memory, (pid, *map(int, children.split()))))


def _process_cpu(pid: int) -> int:
    """Nanoseconds of a process and its ended children (proc_pid_stat(5): utime, stime, cutime, cstime)."""
    return sum(int(ticks) for ticks in _stat(pid)[11:15]) * _TICK_NS


def _process_threads(pid: int) -> int:
    return sum(int(count) for count in _stat(pid)[17:18])


def _process_memory(pid: int) -> int:
    """Bytes: the proportional share (PSS), so that a sum counts nothing twice; or else all (RSS)."""
    share = _keyed(Path(f"/proc/{pid}/smaps_rollup"), ":").get("Pss")
    if share is not None:
        return share * 1024
    pages = (_text(Path(f"/proc/{pid}/statm")) or "0 0").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def _processes_block(pids: Sequence[int]) -> tuple[int, int] | None:
    """Bytes (read, written) on devices (proc_pid_io(5)); None where the kernel does not count them."""
    counts = [_keyed(Path(f"/proc/{pid}/io"), ":") for pid in pids]
    known = [count for count in counts if "read_bytes" in count]
    if not known:
        return None
    return sum(count["read_bytes"] for count in known), sum(count["write_bytes"] for count in known)


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the state on: the name before may hold anything. Empty when it is gone."""
    return (_text(Path(f"/proc/{pid}/stat")) or "").rpartition(") ")[2].split()


def _system_cpu() -> tuple[int, int]:
    """(nanoseconds on all CPUs, number of CPUs); guests are not counted twice (proc_stat(5): user to steal)."""
    lines = [line.split() for line in Path("/proc/stat").read_text().splitlines() if line.startswith("cpu")]
    return sum(int(ticks) for ticks in lines[0][1:9]) * _TICK_NS, len(lines) - 1


def _memory_total() -> int:
    return _keyed(Path("/proc/meminfo"), ":")["MemTotal"] * 1024


# --- reading


def _text(path: Path) -> str | None:
    try:
        return path.read_text(errors="replace")
    except OSError:  # it does not exist, or its process or group is gone, or it is not readable
        return None


def _number(path: Path) -> int | None:
    text = _text(path)
    return int(text) if text is not None and text.strip().isdigit() else None


def _keyed(path: Path, separator: str = "") -> dict[str, int]:
    """Read a file of lines `key number`; `separator` follows a key, and a unit may follow a number."""
    return dict(_pairs(_text(path) or "", separator))


def _pairs(text: str, separator: str) -> Iterator[tuple[str, int]]:
    for line in text.splitlines():
        words = line.split()
        if len(words) >= 2 and words[1].isdigit():
            yield words[0].removesuffix(separator), int(words[1])
