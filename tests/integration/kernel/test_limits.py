"""Limits, freezing and figures: the words and the writes by table, the rest with this machine's own cgroups.

The throwaway hosts see no v1 controllers. So these tests make groups of their own, under a name that nobody else has,
in the hierarchies of the machine itself, and look that none of them is left.
"""

import marshal
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import astuple, dataclass, field, replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minirun.errors import MinirunError
from minirun.kernel import cgroups, controllers, freezer, limits
from minirun.kernel.controllers import Home
from minirun.kernel.limits import Limits
from minirun.kernel.usage import oom_killed, usage
from minirun.options import limits as words
from minirun.options import values
from tests.harness import eventually

MIB = 1 << 20

# --- words


SIZES = {
    "0": 0,
    "7": 7,
    "7b": 7,
    "64m": 64 * MIB,
    "64M": 64 * MIB,
    "64mb": 64 * MIB,
    "64 MiB": 64 * MIB,
    "1.5g": 1536 * MIB,
    ".5k": 512,
    "1.k": 1024,
    "1t": MIB**2,
    "1p": 1024 * MIB**2,
    "0.3k": 307,
}


@pytest.mark.parametrize("text", list(SIZES))
def test_sizes(text: str) -> None:
    assert values.parse_bytes(text) == SIZES[text]


@pytest.mark.parametrize(
    "text", ["", "m", "-1", "1e3", "64x", "64mm", "64bb", "64ibm", "6 4m", "٣m", "9999p", "1" * 99]
)
def test_no_sizes(text: str) -> None:
    with pytest.raises(MinirunError, match=r"--memory-reservation: (invalid size|too large)"):
        values.parse_bytes(text, "--memory-reservation")


def test_memory_has_a_minimum_and_swap_a_minus_one() -> None:
    assert words.check_limits(Limits(memory=6 * MIB)).memory == 6 * MIB
    assert words.check_limits(Limits(memory=0)).memory == 0
    with pytest.raises(MinirunError, match=r"^Minimum memory limit allowed is 6MB$"):
        words.check_limits(Limits(memory=6 * MIB - 1))
    assert words.parse_memory_swap("-1") == -1
    assert words.parse_memory_swap("1k") == 1024
    with pytest.raises(MinirunError, match="--memory-swap: invalid size"):
        words.parse_memory_swap("-2")


CPUS = {"1.5": 1_500_000_000, "2": 2_000_000_000, ".01": 10_000_000, "1.": 1_000_000_000, "0.000000001": 1, "0": 0}


@pytest.mark.parametrize("text", list(CPUS))
def test_cpus(text: str) -> None:
    assert words.parse_cpus(text) == CPUS[text]


@pytest.mark.parametrize(
    ("text", "error"),
    [("", "not a number"), (".", "not a number"), ("-1", "not a number"), ("0.0000000001", "too precise")]
    + [("1,5", "not a number"), ("9" * 20, "too large"), ("9" * 5000, "not a number"), ("1.0.0", "not a number")],
)
def test_no_cpus(text: str, error: str) -> None:
    with pytest.raises(MinirunError, match=error):
        words.parse_cpus(text)


@given(st.text() | st.from_regex(r"[0-9. ]{0,30}[bkmgtpiBKM]{0,3}", fullmatch=True))
def test_any_words_give_a_number_or_one_error(text: str) -> None:
    for parse in (values.parse_bytes, words.parse_memory_swap, words.parse_cpus):
        try:
            assert -1 <= parse(text) < 1 << 63
        except MinirunError:
            pass
    try:
        assert words.parse_cpu_list(text)
    except MinirunError:
        pass


@given(st.integers(0, (1 << 63) - 1))
def test_a_number_of_bytes_stays_what_it_is(size: int) -> None:
    assert values.parse_bytes(str(size)) == values.parse_bytes(f"{size}b") == size


@given(st.integers(0, 1000), st.integers(0, 999_999_999))
def test_cpus_are_exact(whole: int, nano: int) -> None:
    assert words.parse_cpus(f"{whole}.{nano:09}") == whole * 1_000_000_000 + nano


CHECKS = [
    (Limits(memory=MIB), "Minimum memory limit allowed is 6MB"),
    (Limits(memory_swap=7 * MIB), "You should always set the Memory limit when using Memoryswap limit, see usage"),
    (
        Limits(memory=9 * MIB, memory_swap=8 * MIB),
        "Minimum memoryswap limit should be larger than memory limit, see usage",
    ),
    (Limits(memory_reservation=5), "Minimum memory reservation allowed is 6MB"),
    (
        Limits(memory=8 * MIB, memory_reservation=9 * MIB),
        "Minimum memory limit can not be less than memory reservation limit, see usage",
    ),
    (
        Limits(nano_cpus=2_000_000_001),
        "Range of CPUs is from 0.01 to 2.00, as there are only 2 CPUs available",
    ),
    (Limits(nano_cpus=9_999_999), "Range of CPUs is from 0.01 to 2.00, as there are only 2 CPUs available"),
    (Limits(cpu_shares=-1), "invalid CPU shares (-1): value must be a positive integer"),
    (Limits(cpuset_cpus="0-9"), "Requested CPUs are not available - requested 0-9, available: 0-1"),
    (Limits(cpuset_cpus="1-0"), "Invalid value 1-0 for cpuset cpus"),
    (Limits(cpuset_cpus="0,"), "Invalid value 0, for cpuset cpus"),
    (Limits(pids=-2), "Invalid pids limit: -2"),
    (Limits(blkio_weight=9), "Range of blkio weight is from 10 to 1000"),
    (Limits(blkio_weight=1001), "Range of blkio weight is from 10 to 1000"),
]


@pytest.mark.parametrize(("asked", "error"), CHECKS, ids=[error[:40] for _, error in CHECKS])
def test_refusals_in_dockers_words(asked: Limits, error: str) -> None:
    with pytest.raises(MinirunError) as raised:
        words.check_limits(asked, "0-1")
    assert raised.value.message == error
    assert raised.value.code == 125


def test_what_can_be_asked_for() -> None:
    for asked in (
        Limits(),
        Limits(8 * MIB, -1, 7 * MIB, 2_000_000_000, 1024, "0-1", -1, 10),
        Limits(
            memory=6 * MIB, memory_swap=6 * MIB, memory_reservation=6 * MIB, nano_cpus=10_000_000, blkio_weight=1000
        ),
    ):
        assert words.check_limits(asked, "0-1") is asked
    assert words.parse_cpu_list("0-2,5,2-3") == {0, 1, 2, 3, 5}


def test_an_update_keeps_what_it_does_not_name() -> None:
    old = Limits(memory=64 * MIB, pids=5)
    assert astuple(words.merge_limits(old, Limits(nano_cpus=7))) == astuple(replace(old, nano_cpus=7))
    # The default swap of the first limit stands: to go past it, both must be named.
    grown = words.merge_limits(old, Limits(memory=100 * MIB))
    assert (grown.memory, grown.memory_swap) == (100 * MIB, 128 * MIB)
    with pytest.raises(MinirunError, match="update the memoryswap at the same time"):
        words.merge_limits(old, Limits(memory=200 * MIB))
    assert words.merge_limits(old, Limits(memory=200 * MIB, memory_swap=-1)).memory_swap == -1
    assert words.merge_limits(Limits(pids=5), Limits(pids=-1)).pids == -1


# --- writes


def _shown(old: Limits, new: Limits, *, v2: bool) -> list[str]:
    return [f"{one.controller} {one.name}={one.value}" for one in limits.writes(old, new, v2=v2)]


ALL = Limits(64 * MIB, 96 * MIB, 32 * MIB, 1_500_000_000, 512, "0-1", 100, 500)
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


# --- hosts that this machine is not: directories in their place


@pytest.fixture
def pretend(monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, Home], Path | None], None]:
    def install(homes: dict[str, Home], unified: Path | None) -> None:
        monkeypatch.setattr(controllers, "homes", lambda: homes)
        monkeypatch.setattr(cgroups, "unified", lambda: unified)

    return install


def _files(place: Path, *names: str) -> Path:
    place.mkdir(parents=True, exist_ok=True)
    for name in names:
        (place / name).touch()
    return place


def test_homes_are_read_from_the_mounts(tmp_path: Path) -> None:
    both, memory = _files(tmp_path / "cpu,cpuacct", "tasks"), _files(tmp_path / "memory", "tasks")
    blkio, hidden, v2 = _files(tmp_path / "blkio", "tasks"), _files(tmp_path / "pids"), _files(tmp_path / "unified")
    (v2 / "cgroup.controllers").write_text("pids hugetlb\n")
    line = "30 24 0:26 / {} rw,nosuid shared:9 - cgroup cgroup rw,xattr,{}\n"
    mounts = "".join(
        line.format(top, options)
        for top, options in ((both, "cpu,cpuacct"), (memory, "memory"), (blkio, "blkio"), (hidden, "pids"))
    )
    mounts += f"31 24 0:27 / {v2} rw - cgroup2 cgroup2 rw\n22 1 0:5 / / rw - ext4 /dev/sda rw,memory\n"
    assert controllers.find_homes(mounts, v2) == {
        "cpu": Home(both, v2=False),
        "cpuacct": Home(both, v2=False),
        "memory": Home(memory, v2=False),
        "io": Home(blkio, v2=False),
        "pids": Home(v2, v2=True),
        "hugetlb": Home(v2, v2=True),
    }
    assert controllers.find_homes("", None) == {}


@pytest.fixture
def pure_v2(tmp_path: Path, pretend: Callable[..., None]) -> Path:
    """A group as a v2 kernel would show it, on a host that has all controllers there."""
    names = ("memory", "cpu", "cpuset", "pids", "io")
    for place in (tmp_path, tmp_path / "minirun", tmp_path / "minirun/c1"):
        _files(place, "cgroup.subtree_control", "cgroup.procs")
    _files(tmp_path / "minirun/c1", *(one.name for one in limits.writes(Limits(), ALL, v2=True)))
    pretend({name: Home(tmp_path, v2=True) for name in names}, tmp_path)
    return tmp_path


def test_pure_v2_has_one_group_for_all(pure_v2: Path) -> None:
    group = pure_v2 / "minirun/c1"
    (pure_v2 / "cgroup.subtree_control").write_text("memory pids\n")
    assert limits.groups("minirun", "c1", Limits()) == []
    paths = limits.groups("minirun", "c1", ALL)
    assert paths == [group]
    limits.apply(paths, ALL)
    assert (pure_v2 / "cgroup.subtree_control").read_text() == "+cpu +cpuset +io"
    assert (pure_v2 / "minirun/cgroup.subtree_control").read_text() == "+cpu +cpuset +io +memory +pids"
    assert (group / "cgroup.subtree_control").read_text() == ""
    for one in limits.writes(Limits(), ALL, v2=True):
        assert (group / one.name).read_text() == one.value + "\n"
    assert freezer.freezer_group("minirun", "c1") == group
    assert controllers.existing("minirun", "c1") == [group]


def test_pure_v2_without_bfq_takes_the_other_weight(pure_v2: Path) -> None:
    group = pure_v2 / "minirun/c1"
    (group / "io.bfq.weight").rename(group / "io.weight")
    limits.apply([group], ALL)
    assert (group / "io.weight").read_text() == f"{limits.io_weight_of_blkio(500)}\n"
    (group / "io.weight").unlink()
    with pytest.raises(MinirunError, match=r"--blkio-weight: .* no file io.bfq.weight or io.weight"):
        limits.apply([group], ALL)


def test_swap_that_nobody_can_count(pure_v2: Path) -> None:
    """Docker's default does without; what was asked for is refused."""
    (pure_v2 / "minirun/c1/memory.swap.max").unlink()
    limits.apply([pure_v2 / "minirun/c1"], Limits(memory=8 * MIB))
    limits.apply([pure_v2 / "minirun/c1"], Limits(memory=8 * MIB, memory_swap=-1))
    with pytest.raises(MinirunError, match="--memory-swap: this kernel does not account for swap"):
        limits.apply([pure_v2 / "minirun/c1"], Limits(memory=8 * MIB, memory_swap=9 * MIB))


def test_shared_hierarchies_count_once_and_v1_hosts_have_a_freezer(
    tmp_path: Path, pretend: Callable[..., None]
) -> None:
    both = Home(tmp_path / "cpu,cpuset", v2=False)
    homes = {"cpu": both, "cpuset": both, "freezer": Home(tmp_path / "freezer", v2=False)}
    pretend(homes, None)
    asked = Limits(nano_cpus=1_000_000_000, cpu_shares=2, cpuset_cpus="0")
    assert limits.groups("m", "c", asked) == [both.top / "m/c", tmp_path / "freezer/m/c"]
    assert limits.groups("m", "c", Limits()) == [tmp_path / "freezer/m/c"]
    assert freezer.freezer_group("m", "c") == tmp_path / "freezer/m/c"
    pretend(homes, tmp_path)
    assert limits.groups("m", "c", Limits()) == []


@pytest.mark.parametrize(
    ("asked", "option"),
    [
        (Limits(memory=8 * MIB), "--memory"),
        (Limits(memory_reservation=8 * MIB), "--memory-reservation"),
        (Limits(nano_cpus=10**9), "--cpus"),
        (Limits(cpu_shares=5), "--cpu-shares"),
        (Limits(cpuset_cpus="0"), "--cpuset-cpus"),
        (Limits(pids=5), "--pids-limit"),
        (Limits(blkio_weight=50), "--blkio-weight"),
    ],
)
def test_a_host_without_the_controller_is_told(asked: Limits, option: str, pretend: Callable[..., None]) -> None:
    pretend({}, None)
    with pytest.raises(MinirunError, match=f"^{option}: this host has no .* cgroup controller") as raised:
        limits.groups("minirun", "c1", asked)
    assert option in raised.value.hint
    with pytest.raises(MinirunError, match="neither a v2 cgroup hierarchy nor a v1 freezer"):
        freezer.freezer_group("minirun", "c1")


# --- this machine


@dataclass
class Bench:
    """Groups of one imaginary container, and processes in them."""

    instance: str = field(default_factory=lambda: f"minirun-limits-{uuid.uuid4().hex[:12]}")
    container: str = "c1"
    started: list["subprocess.Popen[str]"] = field(default_factory=list)

    def limited(self, asked: Limits) -> list[Path]:
        try:
            paths = limits.groups(self.instance, self.container, asked)
        except MinirunError as error:
            pytest.skip(error.message)
        limits.apply(paths, asked)
        return paths

    def whole(self) -> Path:
        """The container's v2 group."""
        group = cgroups.container_cgroup(self.instance, self.container)
        if group is None:
            pytest.skip("no v2 hierarchy here")
        cgroups.cgroup_add(group)
        return group

    def python(self, paths: list[Path], script: str) -> "subprocess.Popen[str]":
        """As the monitor does it: the child waits, is moved, and only then goes on."""
        child = subprocess.Popen(
            [sys.executable, "-Sc", f"import os, sys, time, threading; input(); {script}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.started.append(child)
        for path in paths:
            controllers.member_add(path, child.pid)
        assert child.stdin is not None
        child.stdin.write("\n")
        child.stdin.flush()
        return child

    def close(self) -> None:
        for path in controllers.existing(self.instance, self.container):
            if (path / "cgroup.freeze").exists() or (path / "freezer.state").exists():
                freezer.thaw(path)
            for pid in controllers.members(path):
                os.kill(pid, 9)
        for child in self.started:
            child.kill()
            child.communicate()
        controllers.remove(controllers.existing(self.instance, self.container))


@pytest.fixture
def bench() -> Iterator[Bench]:
    if os.geteuid() != 0:
        pytest.skip("needs root: it makes cgroups")
    made = Bench()
    assert not _groups_named(made.instance)
    try:
        yield made
    finally:
        made.close()
    assert not _groups_named(made.instance)


def _groups_named(name: str) -> list[Path]:
    tops = {home.top for home in controllers.homes().values()} | {cgroups.unified()}
    return [top / name for top in tops if top and (top / name).exists()]


HOG = "kept = bytearray({}); print(len(kept), flush=True)"


def test_a_memory_limit_kills_a_hog(bench: Bench) -> None:
    paths = bench.limited(Limits(memory=48 * MIB, memory_swap=48 * MIB))
    assert bench.python(paths, HOG.format(8 * MIB)).wait(10) == 0
    assert not oom_killed(paths)
    assert bench.python(paths, HOG.format(100 * MIB)).wait(10) == -9
    assert oom_killed(paths)


def test_a_pids_limit_stops_a_fork_loop(bench: Bench) -> None:
    paths = bench.limited(Limits(pids=10))
    script = """
made = 0
try:
    while made < 50:
        if os.fork() == 0:
            time.sleep(30); os._exit(0)
        made += 1
except BlockingIOError:
    print(made, flush=True)
    time.sleep(30)
"""
    child = bench.python(paths, f"exec({script!r})")
    assert child.stdout is not None
    assert child.stdout.readline() == "9\n"
    assert usage(paths).pids == 10


def test_cpus_are_rationed(bench: Bench) -> None:
    spin = "end = time.monotonic() + 1\nwhile time.monotonic() < end: pass\nprint(time.process_time())"
    paths = bench.limited(Limits(nano_cpus=400_000_000))
    child = bench.python(paths, f"exec({spin!r})")
    used = float(child.communicate(timeout=10)[0])
    assert 0.2 < used < 0.6, used


@pytest.mark.parametrize("asked", [Limits(cpu_shares=512), Limits(memory_reservation=8 * MIB)], ids=["cpu", "memory"])
def test_shares_and_reservations_arrive(bench: Bench, asked: Limits) -> None:
    (path,) = bench.limited(asked)
    _, v2 = controllers.home_at(path)
    (written,) = limits.writes(Limits(), asked, v2=v2)
    assert (path / written.name).read_text() == written.value + "\n"


def test_a_blkio_weight_arrives(bench: Bench) -> None:
    try:
        (path,) = bench.limited(Limits(blkio_weight=300))
    except MinirunError as error:
        pytest.skip(error.message)
    assert "300" in "".join(file.read_text() for file in Path(path).glob("*io.*weight"))


def test_a_cpuset_is_kept(bench: Bench) -> None:
    last = max(words.parse_cpu_list(limits.cpus_available()))
    if last == 0:
        pytest.skip("one CPU alone: nothing to choose")
    paths = bench.limited(Limits(cpuset_cpus=str(last)))
    child = bench.python(paths, "time.sleep(30)")
    allowed = f"Cpus_allowed_list:\t{last}\n"
    assert allowed in Path(f"/proc/{child.pid}/status").read_text()
    limits.update(paths, Limits(cpuset_cpus=str(last)), Limits(cpuset_cpus=f"0-{last}"))
    assert f"Cpus_allowed_list:\t0-{last}\n" in Path(f"/proc/{child.pid}/status").read_text()
    limits.update(paths, Limits(cpuset_cpus=f"0-{last}"), Limits(cpuset_cpus="0"))
    limits.update(paths, Limits(cpuset_cpus="0"), Limits())
    assert f"Cpus_allowed_list:\t{limits.cpus_available()}\n" in Path(f"/proc/{child.pid}/status").read_text()


def _figures(path: Path) -> tuple[int, int]:
    """Memory, memory and swap, from whichever version."""
    if (path / "memory.max").exists():
        memory = int((path / "memory.max").read_text())
        return memory, memory + int((path / "memory.swap.max").read_text())
    return tuple(int((path / f"memory.{one}limit_in_bytes").read_text()) for one in ("", "memsw."))  # type: ignore


def test_memory_is_updated_up_and_down(bench: Bench) -> None:
    """Each step would be refused in the other order."""
    steps = [
        Limits(memory=size * MIB, memory_swap=swap * MIB) for size, swap in ((16, 16), (64, 64), (16, 16), (8, 99))
    ]
    paths = bench.limited(steps[0])
    for old, new in pairwise(steps):
        limits.update(paths, old, new)
        assert _figures(paths[0]) == (new.memory, new.memory_swap)


def test_a_limit_below_what_is_used_is_refused(bench: Bench) -> None:
    old = Limits(memory=128 * MIB, memory_swap=128 * MIB)
    paths = bench.limited(old)
    if (paths[0] / "memory.max").exists():
        pytest.skip("v2 would kill instead")
    child = bench.python(paths, HOG.format(64 * MIB) + "; time.sleep(30)")
    assert child.stdout is not None
    assert child.stdout.readline()
    with pytest.raises(MinirunError, match="--memory 8388608: the container uses more than that now"):
        limits.update(paths, old, Limits(memory=8 * MIB, memory_swap=8 * MIB))
    assert child.poll() is None


def test_a_limit_new_to_a_running_container_takes_all_its_processes_in(bench: Bench) -> None:
    whole = bench.whole()
    fork = "[os.fork() for _ in range(3)]; time.sleep(30)"  # eight in all
    bench.python([whole], fork)
    eventually(lambda: len(controllers.members(whole)) == 8)
    asked = Limits(pids=20)
    paths = bench_groups(bench, asked)
    limits.update([whole, *paths], Limits(), asked, lambda: controllers.members(whole))
    assert sorted(controllers.members(paths[0])) == sorted(controllers.members(whole))
    assert (paths[0] / "pids.max").read_text() == "20\n"
    limits.update(paths, asked, Limits(pids=30))
    assert (paths[0] / "pids.max").read_text() == "30\n"
    limits.update(paths, Limits(pids=30), Limits())
    assert (paths[0] / "pids.max").read_text() == "max\n"


def test_a_group_that_was_lost_gets_all_its_limits_again(bench: Bench) -> None:
    asked = Limits(pids=20)
    paths = bench.limited(asked)
    controllers.remove(paths)
    limits.update(paths, asked, asked)
    assert (paths[0] / "pids.max").read_text() == "20\n"


def bench_groups(bench: Bench, asked: Limits) -> list[Path]:
    try:
        return limits.groups(bench.instance, bench.container, asked)
    except MinirunError as error:
        pytest.skip(error.message)


def test_a_process_moves_itself_in(bench: Bench) -> None:
    """As exec does, before it joins the namespaces."""
    paths = [bench.whole(), *bench.limited(Limits(pids=20, memory=64 * MIB))]
    assert set(controllers.existing(bench.instance, bench.container)) == set(paths)
    child = subprocess.Popen(["sleep", "30"], preexec_fn=lambda: controllers.enter(paths), text=True)
    bench.started.append(child)
    assert [controllers.members(path) for path in paths] == [[child.pid]] * len(paths)
    child.kill()
    child.wait()


COUNT = "exec('n = 0\\nwhile True: n += 1; os.pwrite(1, b\"%20d\" % n, 0)')"


@pytest.mark.parametrize("version", ["v2", "v1"])
def test_a_frozen_counter_stands_still(bench: Bench, version: str, tmp_path: Path) -> None:
    if version == "v2":
        group = bench.whole()
        assert freezer.freezer_group(bench.instance, bench.container) == group
    else:
        home = controllers.homes().get("freezer")
        if home is None:
            pytest.skip("no v1 freezer here")
        group = home.top / bench.instance / bench.container
        controllers.group_ensure(group, [])
    with open(tmp_path / "count", "w+") as output:
        script = f"import os; {COUNT}"
        child = subprocess.Popen([sys.executable, "-Sc", script], stdout=output, text=True)
        bench.started.append(child)
        controllers.member_add(group, child.pid)

        def count() -> int:
            return int((tmp_path / "count").read_text() or 0)

        eventually(lambda: count() > 100)
        assert not freezer.is_frozen(group)
        freezer.freeze(group)
        assert freezer.is_frozen(group)
        before = count()
        time.sleep(0.2)
        assert count() == before
        freezer.thaw(group)
        eventually(lambda: count() > before)
        eventually(lambda: not freezer.is_frozen(group))
    bench.close()
    freezer.thaw(group)  # gone: fine


def test_what_cannot_be_frozen_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel in which a member never stops: no test can make one that does so reliably."""
    monkeypatch.setattr(freezer, "_PATIENCE", 0.02)
    _files(tmp_path, "cgroup.freeze")
    (tmp_path / "cgroup.events").write_text("populated 1\nfrozen 0\n")
    with pytest.raises(MinirunError, match=r"not all processes in .* could be stopped"):
        freezer.freeze(tmp_path)
    assert (tmp_path / "cgroup.freeze").read_text() == "0\n"


def test_usage_of_a_container_without_limits(bench: Bench) -> None:
    whole = bench.whole()
    script = HOG.format(32 * MIB) + "; [threading.Thread(target=time.sleep, args=(30,)).start() for _ in range(3)];"
    script += " exec('while time.process_time() < .3: pass'); print('done', flush=True); time.sleep(30)"
    child = bench.python([whole], script)
    assert child.stdout is not None
    assert [child.stdout.readline() for _ in range(2)] == [f"{32 * MIB}\n", "done\n"]
    found = usage([whole])
    assert 0.2e9 < found.cpu_ns < 3e9
    assert 32 * MIB < found.memory_bytes < 80 * MIB
    assert found.pids == 4
    assert found.online_cpus == len(os.sched_getaffinity(0)) or found.online_cpus == os.cpu_count()
    assert found.memory_limit == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    time.sleep(0.2)
    passed = usage([whole]).system_cpu_ns - found.system_cpu_ns
    assert 0.1e9 * found.online_cpus < passed < 2e9 * found.online_cpus


def test_cpu_time_is_summed_up_where_nothing_counts_it(bench: Bench) -> None:
    paths = bench.limited(Limits(pids=7))
    burn = "exec('while time.process_time() < .3: pass')"
    child = bench.python(
        paths, f"p = os.fork(); {burn}; p and os.wait(); p and print(1, flush=True); p and time.sleep(30)"
    )
    assert child.stdout is not None
    assert child.stdout.readline()
    assert 0.5e9 < usage(paths).cpu_ns < 2e9  # its own, and that of the child that has ended


def test_usage_of_a_limited_container(bench: Bench) -> None:
    paths = [bench.whole(), *bench.limited(Limits(memory=96 * MIB, pids=7, blkio_weight=100 + 1))]
    child = bench.python(paths, HOG.format(32 * MIB) + "; time.sleep(30)")
    assert child.stdout is not None
    child.stdout.readline()
    for order in (paths, paths[::-1]):
        found = usage(order)
        assert 32 * MIB < found.memory_bytes < 96 * MIB
        assert found.memory_limit == 96 * MIB
        assert found.pids == 1
        assert found.block_read is not None
        assert found.block_write is not None


def test_usage_leaves_out_the_file_cache(bench: Bench) -> None:
    paths = bench.limited(Limits(memory=256 * MIB))
    file = Path(f"/var/tmp/{bench.instance}")
    write = f"open({str(file)!r}, 'wb').write(bytes({64 * MIB})); os.sync(); print(1, flush=True); time.sleep(30)"
    try:
        child = bench.python(paths, write)
        assert child.stdout is not None
        child.stdout.readline()
        raw = next(
            paths[0] / name for name in ("memory.current", "memory.usage_in_bytes") if (paths[0] / name).exists()
        )
        assert int(raw.read_text()) > 64 * MIB
        assert usage(paths).memory_bytes < 40 * MIB
    finally:
        file.unlink(missing_ok=True)


def test_usage_of_what_is_gone_is_nothing(bench: Bench) -> None:
    whole = bench.whole()
    controllers.remove([whole])
    controllers.remove([whole])
    found = usage([whole])
    assert (found.cpu_ns, found.memory_bytes, found.pids, found.block_read) == (0, 0, 0, None)
    assert not oom_killed([whole])


def test_groups_are_removed_while_their_members_are_still_dying(bench: Bench) -> None:
    paths = [bench.whole(), *bench.limited(Limits(pids=30, memory=512 * MIB))]
    child = bench.python(paths, "[os.fork() for _ in range(3)]; kept = b'x' * (20 << 20); time.sleep(30)")
    eventually(lambda: len(controllers.members(paths[0])) == 8)
    (paths[1] / "inner").mkdir()  # as a container might that can write there
    for pid in controllers.members(paths[0]):
        os.kill(pid, 9)
    child.wait()
    controllers.remove(paths)
    assert not _groups_named(bench.instance)
