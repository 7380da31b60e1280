"""pytest -n 4 with twenty containers, networks, ports and faults, killed (SIGKILL) at random moments: nothing is left.

`MINIRUN_KILLS=100 ./scripts/test -n0 -s tests/integration/testing/test_killed.py` tries as many moments, and prints how
long it took until all was as before.
"""

import os
import random
import signal
import statistics
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import Host, eventually
from tests.harness.host import _child_of
from tests.harness.snapshot import Snapshot, assert_same
from tests.integration.testing.test_suites import ENV, suite

KILLS = int(os.environ.get("MINIRUN_KILLS", "3"))
SUITE = """
import pathlib
import time

shared = container_fixture("busybox", ["sleep", "99"], scope="run", ports=[80])

@pytest.mark.parametrize("number", range(4))
def test_all(shared, container, network, number, worker_id):
    net = network()
    made = [container("busybox", HTTPD, networks=[net], ports=[80], ready=listening(80)) for _ in range(5)]
    with net.partition(made[0], made[1]), made[2].blackhole(80), net.loss(0.1), net.dns.fail("db"):
        pathlib.Path(os.environ["READY"], worker_id).touch()
        time.sleep(60)
"""


@pytest.fixture(scope="module")
def machine() -> Iterator[Host]:
    with Host() as host:
        host.minirun("run", "--rm", "busybox", "true")
        eventually(lambda: "veth" not in host.sh("ip -br link"))  # the kernel is a moment later
        yield host


def test_nothing_is_left_whenever_it_is_killed(machine: Host, tmp_path: Path) -> None:
    """The first time it is killed when all of it is there, which says how long that takes; then at random before."""
    argv = [*suite(tmp_path, SUITE), "-p", "xdist", "-n", "4"]
    before = Snapshot.of(machine)
    whole, times = 60.0, []
    chosen = random.Random(19)
    for number in range(KILLS):
        ready = tmp_path / f"ready{number}"
        ready.mkdir()
        started = time.monotonic()
        moment = chosen.uniform(0.2, 1) * whole if number else whole
        process = machine.popen(
            argv, env={**ENV, "READY": str(ready)}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        while time.monotonic() < started + moment and len(list(ready.iterdir())) < 4:
            time.sleep(0.02)
        if not number:
            assert len(list(ready.iterdir())) == 4, "its containers are there"
            assert len(machine.minirun("ps", "-q").stdout.split()) == 21
            whole = time.monotonic() - started
        os.kill(_child_of(process.pid), signal.SIGKILL)
        killed = time.monotonic()
        process.wait()
        assert_same(machine, before, 30)
        times.append(time.monotonic() - killed)
    times.sort()
    print(
        f"\n{KILLS} kills in the first {whole:.1f} s: as before after {statistics.median(times):.2f} s (median),"
        f" {times[int(len(times) * 0.9)]:.2f} (90 %), {times[-1]:.2f} (most);"
        f" within 1 s: {sum(each <= 1 for each in times)}"
    )
