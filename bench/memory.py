"""The memory of what watches over one container: minirun's monitor, containerd's shim, podman's conmon.

In PSS: what several processes share, such as the program itself, is counted for each in part (proc_pid_smaps(5)).
"""

import statistics
import time
from collections.abc import Sequence
from pathlib import Path

from bench.measure import Contender, once, say

CONTAINERS = 10  # at once: what they share, they share by so many
_SETTLE = 2.0
_DAEMONS = {"docker": ("dockerd", "containerd")}


def measure(contenders: Sequence[Contender]) -> dict[str, list[int]]:
    """KiB of each container's watcher, by engine."""
    return {one.name: _watchers(one) for one in contenders if one.name != "python3"}


def daemons(contenders: Sequence[Contender]) -> dict[str, int]:
    """KiB of what runs besides, whether there is a container or not."""
    wanted = {one.name: _DAEMONS.get(one.name, ()) for one in contenders if one.name != "python3"}
    return {engine: sum(pss(pid) for pid in _pids() if _comm(pid) in names) for engine, names in wanted.items()}


def _watchers(one: Contender) -> list[int]:
    names = [f"memory{number}" for number in range(CONTAINERS)]
    before = set(_pids())
    for name in names:
        _, error = once([*one.command, "run", "-d", "--net=none", "--name", name, "busybox", "sleep", "100001"])
        if error is not None:
            say(f"{one.name}, memory: {error}")
    time.sleep(_SETTLE)
    programs = [pid for pid in _pids() if pid not in before and b"100001" in _read(pid, "cmdline").split(b"\0")]
    found = [pss(_parent(pid)) for pid in programs if _comm(pid) in ("sleep", "busybox")]
    once([*one.command, "rm", "-f", *names])
    return found


def pss(pid: int) -> int:
    for line in _read(pid, "smaps_rollup").splitlines():
        if line.startswith(b"Pss:"):
            return int(line.split()[1])
    return 0


def text(found: Sequence[int]) -> str:
    """Median, lowest and highest, in MiB."""
    if not found:
        return "-"
    middle, low, high = (value / 1024 for value in (statistics.median(found), min(found), max(found)))
    return f"{middle:.1f} ({low:.1f} to {high:.1f})"


def _pids() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]


def _parent(pid: int) -> int:
    return int(_read(pid, "stat").rpartition(b") ")[2].split()[1])


def _comm(pid: int) -> str:
    return _read(pid, "comm").decode(errors="replace").strip()


def _read(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""
