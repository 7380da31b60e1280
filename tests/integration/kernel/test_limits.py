"""Limits in this machine's own cgroups, which the throwaway hosts do not see all of."""

from itertools import pairwise
from pathlib import Path

import pytest

from minirun.errors import MinirunError
from minirun.kernel import controllers, limits
from minirun.kernel.limits import Limits
from minirun.kernel.usage import oom_killed, usage
from minirun.options import limits as words
from tests.harness import eventually
from tests.integration.kernel.cgroup_bench import HOG, MIB, Bench, bench_groups


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
        pytest.skip(f"this machine has no such cgroup controller: {error.message}")
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
        pytest.skip("cgroup v2 kills instead of refusing")
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
