"""Resource limits of containers, by the kernel's cgroup controllers: cgroup-v1/*.rst and cgroup-v2.rst.

`_V1` and `_V2` map limits to files. A limit that was not requested is never written; one that this host does not
support is refused, never ignored.
"""

import errno
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from minirun.errors import FAILED, MinirunError
from minirun.kernel import cgroups, controllers

_PERIOD = 100_000  # microseconds, the kernel's default: a share of a CPU is a quota of each such period
_LEAST_QUOTA = 1_000
_NANO = 1_000_000_000
_LEAST_SHARES, _MOST_SHARES, _MOST_WEIGHT = 2, 262_144, 10_000


@dataclass(frozen=True, eq=False, repr=False)
class Limits:
    """The limits of a container, as plain values that marshal can carry. 0 and "" mean: not limited."""

    memory: int = 0  # bytes
    memory_swap: int = 0  # bytes, memory and swap together; 0: twice `memory`, as in Docker; -1: no limit
    memory_reservation: int = 0  # bytes that are protected when memory is short
    nano_cpus: int = 0  # 1_000_000_000 is one CPU; instead of the quota and the period
    cpu_shares: int = 0  # v1's scale, 2 to 262144, where 1024 is the default
    cpuset_cpus: str = ""  # such as 0-1,3
    pids: int = 0  # processes and threads; -1: no limit
    blkio_weight: int = 0  # 10 to 1000
    cpu_quota: int = 0  # microseconds of CPU time in each period, as nano_cpus says it otherwise; below 0: no limit
    cpu_period: int = 0  # microseconds
    cpuset_mems: str = ""  # memory nodes, such as 0-1


def of(given: Iterable[tuple[str, int | str]]) -> Limits:
    """Make Limits from (name, value) pairs, as a spec and a plan have them."""
    return Limits(**dict(given))  # type: ignore[arg-type]


@dataclass(frozen=True)
class Write:
    """One value for one file of a group; `other` is (file, value) on kernels that have another file for it."""

    controller: str
    option: str  # of the command line
    name: str
    value: str
    other: tuple[str, str] | None = None
    needed: bool = True  # False: ignored where the file is missing, as in Docker


def weight_of_shares(shares: int) -> int:
    """Convert v1 shares (2..262144, default 1024) to a v2 weight (1..10000, default 100): these three points coincide.

    A curve through them, 10^((l^2 + 125 l)/612 - 7/34) with l = log2(shares), as in runc since 1.3.2 and crun since
    1.23. Before, both used a straight line, which made 1024 into 39, less than the default.
    """
    log = math.log2(min(max(shares, _LEAST_SHARES), _MOST_SHARES))
    return min(math.ceil(round(10 ** ((log * log + 125 * log) / 612 - 7 / 34), 9)), _MOST_WEIGHT)


def io_weight_of_blkio(weight: int) -> int:
    """Convert a blkio weight (10..1000) to v2's 1..10000, as runc does."""
    return 1 + (weight - 10) * 9999 // 990


def swap_total(limits: Limits) -> int:
    """Bytes of memory and swap together, or -1."""
    if not limits.memory:
        return -1
    return limits.memory_swap or 2 * limits.memory


def counts_swap() -> bool:
    """Return whether this host's memory controller counts swap, so that it can be limited (swapaccount=1 at boot)."""
    home = controllers.homes().get("memory")
    if home is None:
        return False
    if not home.v2:
        return (home.top / "memory.memsw.limit_in_bytes").exists()
    return any((path / "memory.swap.max").exists() for path in home.top.iterdir() if path.is_dir())


def _swap_alone(limits: Limits) -> int | str:
    return "max" if swap_total(limits) < 0 else swap_total(limits) - limits.memory


def _period(limits: Limits) -> int:
    """Microseconds."""
    return limits.cpu_period or _PERIOD


def _quota(limits: Limits) -> int:
    """Microseconds in each period, or 0; the kernel's minimum is a millisecond."""
    if limits.nano_cpus:
        return max(_LEAST_QUOTA, limits.nano_cpus * _PERIOD // _NANO)
    return max(limits.cpu_quota, 0)


def _typed(option: str, limits: Limits) -> str:
    """The option that the user gave, where several set one file."""
    if option != "--cpus" or limits.nano_cpus:
        return option
    return "--cpu-quota" if limits.cpu_quota else "--cpu-period"


def _tasks(limits: Limits) -> int | str:
    return limits.pids if limits.pids > 0 else "max"


# The controller, Docker's option, the file, and its value; for Limits() that of a new group.
_Row = tuple[str, str, str, Callable[[Limits], int | str]]
_V1: tuple[_Row, ...] = (
    ("memory", "--memory", "memory.limit_in_bytes", lambda of: of.memory or -1),
    ("memory", "--memory-swap", "memory.memsw.limit_in_bytes", swap_total),
    ("memory", "--memory-reservation", "memory.soft_limit_in_bytes", lambda of: of.memory_reservation or -1),
    ("cpu", "--cpu-period", "cpu.cfs_period_us", _period),
    ("cpu", "--cpus", "cpu.cfs_quota_us", lambda of: _quota(of) or -1),
    ("cpu", "--cpu-shares", "cpu.shares", lambda of: of.cpu_shares or 1024),
    ("cpuset", "--cpuset-cpus", "cpuset.cpus", lambda of: of.cpuset_cpus),
    ("cpuset", "--cpuset-mems", "cpuset.mems", lambda of: of.cpuset_mems),
    ("pids", "--pids-limit", "pids.max", _tasks),
    # BFQ's file; that of CFQ, which Linux 5.0 removed, was blkio.weight.
    ("io", "--blkio-weight", "blkio.bfq.weight", lambda of: of.blkio_weight or 100),
)
_V2: tuple[_Row, ...] = (
    ("memory", "--memory", "memory.max", lambda of: of.memory or "max"),
    ("memory", "--memory-swap", "memory.swap.max", _swap_alone),
    ("memory", "--memory-reservation", "memory.low", lambda of: of.memory_reservation),
    ("cpu", "--cpus", "cpu.max", lambda of: f"{_quota(of) or 'max'} {_period(of)}"),
    ("cpu", "--cpu-shares", "cpu.weight", lambda of: weight_of_shares(of.cpu_shares or 1024)),
    ("cpuset", "--cpuset-cpus", "cpuset.cpus", lambda of: of.cpuset_cpus),
    ("cpuset", "--cpuset-mems", "cpuset.mems", lambda of: of.cpuset_mems),
    ("pids", "--pids-limit", "pids.max", _tasks),
    ("io", "--blkio-weight", "io.bfq.weight", lambda of: of.blkio_weight or 100),
)


def writes(old: Limits, new: Limits, *, v2: bool) -> list[Write]:
    """The writes, in order, that change one set of limits to another; a new group has Limits()."""
    changes = []
    for controller, option, name, value_of in _V2 if v2 else _V1:
        if value_of(new) != value_of(old):
            other = _other_weight(new, v2) if controller == "io" else None
            needed = option != "--memory-swap" or new.memory_swap > 0
            changes.append(Write(controller, _typed(option, new), name, str(value_of(new)), other, needed))
    if not v2 and _raises_swap(old, new):
        changes.sort(key=lambda write: write.option != "--memory-swap")  # stable: only this one moves
    if not v2 and _period(new) < _period(old):  # v1 refuses a quota whose share of the period exceeds the parent's
        changes.sort(key=lambda write: write.name == "cpu.cfs_period_us")
    return changes


def _raises_swap(old: Limits, new: Limits) -> bool:
    """v1 refuses memsw < memory at every moment: so memory is lowered first, and memsw is raised first."""
    before, after = swap_total(old), swap_total(new)
    return before >= 0 and (after < 0 or after > before)


def _other_weight(limits: Limits, v2: bool) -> tuple[str, str]:
    if not v2:
        return "blkio.weight", str(limits.blkio_weight or 500)
    return "io.weight", str(io_weight_of_blkio(limits.blkio_weight) if limits.blkio_weight else 100)


# --- the host


def groups(instance: str, container_id: str, limits: Limits) -> list[Path]:
    """The v1 groups for these limits; they need not exist yet. Raises MinirunError for an unsupported limit.

    On a v1-only host always with the freezer's: there that group keeps the container's processes together, as the v2
    group does elsewhere.
    """
    homes = controllers.homes()
    tops = []
    for write in writes(Limits(), limits, v2=False):
        if write.controller not in homes:
            raise _no_controller(write)
        tops.append(homes[write.controller].top)
    if cgroups.unified() is None and "freezer" in homes:
        tops.append(homes["freezer"].top)
    return [cgroups.group_in(top, instance, container_id) for top in dict.fromkeys(tops)]


def apply(paths: Sequence[Path], limits: Limits) -> None:
    """Make the groups and set their limits, before anything runs in them."""
    update(paths, Limits(), limits)


def update(paths: Sequence[Path], old: Limits, new: Limits, members: Callable[[], Iterable[int]] | None = None) -> None:
    """Change one set of limits to another. `paths`: the groups that exist, and those that the new limits need.

    The container's `members` are moved into a group that this makes. In v1, the memory that they have stays accounted
    where it was. In v2, a memory limit below the usage kills; v1 refuses it.
    """
    for path in dict.fromkeys(paths):
        here, v2 = controllers.home_at(path)
        fresh = not path.exists()
        asked = [write for write in writes(Limits() if fresh else old, new, v2=v2) if write.controller in here]
        controllers.group_ensure(path, [write.controller for write in asked])
        for write in asked:
            _set(path, write)
        if fresh and members is not None:
            controllers.adopt(path, members)


def _set(path: Path, write: Write) -> None:
    name, value = write.name, write.value
    if not (path / name).exists() and write.other:
        name, value = write.other
    if not (path / name).exists():
        if write.needed:
            raise _no_file(write)
        return
    if name.startswith("cpuset.") and not value and not (path / "cgroup.subtree_control").exists():
        value = (path.parent / name).read_text().strip()  # v1 has no value for "as the parent"
    try:
        controllers.setting_write(path, name, value)
    except OSError as error:
        if error.errno == errno.EBUSY and write.controller == "memory":
            raise MinirunError(
                f"{write.option} {value}: the container uses more than that now",
                "choose a higher limit, or stop the container first",
                FAILED,
            ) from error
        raise


def _no_controller(write: Write) -> MinirunError:
    name = write.controller if write.controller != "io" else "io (blkio)"
    return MinirunError(
        f"{write.option}: this host has no {name} cgroup controller to keep that limit with",
        cgroups.remedy("the host's kernel has to offer one, and the host to mount it (/proc/cgroups)")
        + f"; or leave {write.option} out",
        FAILED,
    )


def _no_file(write: Write) -> MinirunError:
    why = {
        "--blkio-weight": "no I/O scheduler of this kernel knows weights (BFQ would)",
        "--memory-swap": "this kernel does not account for swap (swapaccount=1 at boot)",
    }
    wanted = f"{write.name} or {write.other[0]}" if write.other else write.name
    return MinirunError(
        f"{write.option}: {why.get(write.option, 'this kernel cannot keep that limit')}: no file {wanted}",
        f"it is for the host's kernel to offer it; or leave {write.option} out",
        FAILED,
    )


def cpus_available() -> str:
    """The CPUs that a container can be given, in the kernel's list format: 0-3,6 (cpuset(7))."""
    return _available("cpus", "cpu")


def mems_available() -> str:
    """The memory nodes that a container can be given, in the same format."""
    return _available("mems", "node")


def _available(kind: str, device: str) -> str:
    home = controllers.homes().get("cpuset")
    tops = [home.top / name for name in (f"cpuset.{kind}.effective", f"cpuset.effective_{kind}")] if home else []
    for file in (*tops, Path(f"/sys/devices/system/{device}/online")):
        if file.exists():
            return file.read_text().strip()
    return "0"
