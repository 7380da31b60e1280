"""Hosts whose cgroups this machine does not have: directories stand in for their hierarchies."""

from collections.abc import Callable
from pathlib import Path

import pytest

from minirun.errors import MinirunError
from minirun.kernel import cgroups, controllers, freezer, limits
from minirun.kernel.controllers import Home
from minirun.kernel.limits import Limits
from tests.integration.kernel.cgroup_bench import MIB

ALL = Limits(64 * MIB, 96 * MIB, 32 * MIB, 1_500_000_000, 512, "0-1", 100, 500)


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


def test_homes_at_their_usual_places_are_found_without_the_mounts(tmp_path: Path) -> None:
    both, memory = _files(tmp_path / "cpu,cpuacct", "tasks"), _files(tmp_path / "memory", "tasks")
    memberships = "7:devices:/\n4:memory:/a:b\n2:cpu,cpuacct:/\n1:name=systemd:/\n0::/\n"
    found = {"cpu": Home(both, v2=False), "cpuacct": Home(both, v2=False), "memory": Home(memory, v2=False)}
    assert controllers.find_usual(memberships, tmp_path) == found
    assert controllers.find_usual("0::/user.slice\n", tmp_path) == {}
    _files(tmp_path / "pids")  # hidden by another mount, or somewhere else
    assert controllers.find_usual(memberships + "8:pids:/\n", tmp_path) is None


def test_this_hosts_homes_are_the_same_either_way() -> None:
    mounts = Path("/proc/self/mountinfo").read_text()
    assert controllers.homes() == controllers.find_homes(mounts, cgroups.unified())


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
        (Limits(cpu_quota=2000), "--cpu-quota"),
        (Limits(cpu_period=2000), "--cpu-period"),
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


def test_what_cannot_be_frozen_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel in which a member never stops: no test can make one that does so reliably."""
    monkeypatch.setattr(freezer, "_PATIENCE", 0.02)
    _files(tmp_path, "cgroup.freeze")
    (tmp_path / "cgroup.events").write_text("populated 1\nfrozen 0\n")
    with pytest.raises(MinirunError, match=r"not all processes in .* could be stopped"):
        freezer.freeze(tmp_path)
    assert (tmp_path / "cgroup.freeze").read_text() == "0\n"
