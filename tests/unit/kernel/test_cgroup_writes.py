"""Which cgroup files a limit is written to, and in which order."""

import marshal
from dataclasses import astuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minirun.kernel import limits
from minirun.kernel.limits import Limits
from tests.integration.kernel.cgroup_bench import MIB


def _shown(old: Limits, new: Limits, *, v2: bool) -> list[str]:
    return [f"{one.controller} {one.name}={one.value}" for one in limits.writes(old, new, v2=v2)]


ALL = Limits(64 * MIB, 96 * MIB, 32 * MIB, 1_500_000_000, 512, "0-1", 100, 500, cpuset_mems="0")


WRITES = {
    "nothing": (Limits(), Limits(), [], []),
    "all": (
        Limits(),
        ALL,
        [
            "memory memory.limit_in_bytes=67108864",
            "memory memory.memsw.limit_in_bytes=100663296",
            "memory memory.soft_limit_in_bytes=33554432",
            "cpu cpu.cfs_quota_us=150000",
            "cpu cpu.shares=512",
            "cpuset cpuset.cpus=0-1",
            "cpuset cpuset.mems=0",
            "pids pids.max=100",
            "io blkio.bfq.weight=500",
        ],
        [
            "memory memory.max=67108864",
            "memory memory.swap.max=33554432",
            "memory memory.low=33554432",
            "cpu cpu.max=150000 100000",
            "cpu cpu.weight=59",
            "cpuset cpuset.cpus=0-1",
            "cpuset cpuset.mems=0",
            "pids pids.max=100",
            "io io.bfq.weight=500",
        ],
    ),
    "all taken back": (
        ALL,
        Limits(),
        [
            "memory memory.memsw.limit_in_bytes=-1",
            "memory memory.limit_in_bytes=-1",
            "memory memory.soft_limit_in_bytes=-1",
            "cpu cpu.cfs_quota_us=-1",
            "cpu cpu.shares=1024",
            "cpuset cpuset.cpus=",
            "cpuset cpuset.mems=",
            "pids pids.max=max",
            "io blkio.bfq.weight=100",
        ],
        [
            "memory memory.max=max",
            "memory memory.swap.max=max",
            "memory memory.low=0",
            "cpu cpu.max=max 100000",
            "cpu cpu.weight=100",
            "cpuset cpuset.cpus=",
            "cpuset cpuset.mems=",
            "pids pids.max=max",
            "io io.bfq.weight=100",
        ],
    ),
    "memory alone: as much swap again": (
        Limits(),
        Limits(memory=8 * MIB),
        ["memory memory.limit_in_bytes=8388608", "memory memory.memsw.limit_in_bytes=16777216"],
        ["memory memory.max=8388608", "memory memory.swap.max=8388608"],
    ),
    "swap without end": (
        Limits(),
        Limits(memory=8 * MIB, memory_swap=-1),
        ["memory memory.limit_in_bytes=8388608"],
        ["memory memory.max=8388608"],
    ),
    "no swap": (
        Limits(),
        Limits(memory=8 * MIB, memory_swap=8 * MIB),
        ["memory memory.limit_in_bytes=8388608", "memory memory.memsw.limit_in_bytes=8388608"],
        ["memory memory.max=8388608", "memory memory.swap.max=0"],
    ),
    "a rise: v1 wants memsw first": (
        Limits(memory=8 * MIB),
        Limits(memory=32 * MIB),
        ["memory memory.memsw.limit_in_bytes=67108864", "memory memory.limit_in_bytes=33554432"],
        ["memory memory.max=33554432", "memory memory.swap.max=33554432"],
    ),
    "a fall: v1 wants memory first": (
        Limits(memory=32 * MIB),
        Limits(memory=8 * MIB),
        ["memory memory.limit_in_bytes=8388608", "memory memory.memsw.limit_in_bytes=16777216"],
        ["memory memory.max=8388608", "memory memory.swap.max=8388608"],
    ),
    "unlimited in words": (Limits(), Limits(pids=-1, cpu_shares=1024), [], []),
    "a quota of the usual period": (
        Limits(),
        Limits(cpu_quota=50_000),
        ["cpu cpu.cfs_quota_us=50000"],
        ["cpu cpu.max=50000 100000"],
    ),
    "a longer period comes before its quota": (
        Limits(cpu_quota=50_000),
        Limits(cpu_quota=200_000, cpu_period=1_000_000),
        ["cpu cpu.cfs_period_us=1000000", "cpu cpu.cfs_quota_us=200000"],
        ["cpu cpu.max=200000 1000000"],
    ),
    "a shorter period comes after its quota": (
        Limits(cpu_quota=200_000, cpu_period=1_000_000),
        Limits(cpu_quota=-1, cpu_period=1_000),
        ["cpu cpu.cfs_quota_us=-1", "cpu cpu.cfs_period_us=1000"],
        ["cpu cpu.max=max 1000"],
    ),
    "a period alone": (Limits(), Limits(cpu_period=2000), ["cpu cpu.cfs_period_us=2000"], ["cpu cpu.max=max 2000"]),
    "the least of a CPU": (
        Limits(),
        Limits(nano_cpus=1),
        ["cpu cpu.cfs_quota_us=1000"],
        ["cpu cpu.max=1000 100000"],
    ),
}


@pytest.mark.parametrize("name", list(WRITES))
def test_writes(name: str) -> None:
    old, new, v1, v2 = WRITES[name]
    assert _shown(old, new, v2=False) == v1
    assert _shown(old, new, v2=True) == v2


@given(*[st.tuples(st.integers(1, 50), st.integers(-1, 50))] * 2)
def test_memory_never_exceeds_memsw_on_the_way(before: tuple[int, int], after: tuple[int, int]) -> None:
    """What a v1 kernel would refuse, at any step, in either direction."""
    old, new = (Limits(memory=m, memory_swap=s if s < 1 else m + s) for m, s in (before, after))
    now = {"memory.limit_in_bytes": old.memory, "memory.memsw.limit_in_bytes": limits.swap_total(old)}
    for one in limits.writes(old, new, v2=False):
        now[one.name] = int(one.value)
        memory, memsw = now.values()
        assert memsw == -1 or memory <= memsw
    assert list(now.values()) == [new.memory, limits.swap_total(new)]


def test_weights() -> None:
    points = {0: 1, 2: 1, 3: 2, 256: 35, 512: 59, 1024: 100, 2048: 174, 262_144: 10_000, 1 << 30: 10_000}
    assert {shares: limits.weight_of_shares(shares) for shares in points} == points
    assert [limits.io_weight_of_blkio(weight) for weight in (10, 100, 1000)] == [1, 910, 10_000]


def test_limits_cross_to_the_monitor() -> None:
    assert astuple(Limits(*marshal.loads(marshal.dumps(astuple(ALL))))) == astuple(ALL)
