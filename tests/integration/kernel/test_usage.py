"""Usage figures, freezing and removal, in this machine's own cgroups."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from minirun.kernel import controllers, freezer
from minirun.kernel.limits import Limits
from minirun.kernel.usage import oom_killed, usage
from tests.harness import eventually
from tests.integration.kernel.cgroup_bench import HOG, MIB, Bench, groups_named


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
            pytest.skip("this machine has no v1 freezer")
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
    assert not groups_named(bench.instance)
