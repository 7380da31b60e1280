"""Many starts at once, by xdist's workers and by threads: each published port is one container's.

`MINIRUN_STARTS=200 ./scripts/test -n0 -s tests/integration/testing/test_parallel.py` makes as many, and prints how
long they took.
"""

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import Host
from tests.integration.testing.test_suites import ENV, suite

STARTS = int(os.environ.get("MINIRUN_STARTS", "24"))
SUITE = """
import pathlib

@pytest.mark.parametrize("number", range(int(os.environ["STARTS"])))
def test_start(host, number):
    made = host.run("busybox", HTTPD, ports=[80], ready=listening(80))  # it stays until the session ends
    name = made.name
    made.exec("sh", "-c", f"mkdir -p /var/www; echo {name} >/var/www/name")
    with host.client.connect("127.0.0.1", made.port(80), 5) as channel:
        channel.sendall(b"GET /name HTTP/1.0\\r\\n\\r\\n")
        answer = b""
        while data := channel.recv(1000):
            answer += data
    assert answer.decode().endswith(name + "\\n"), "another container has this port"
    pathlib.Path(os.environ["SEEN"], str(number)).write_text(str(made.port(80)))
"""
THREADS = """
import time
from concurrent.futures import ThreadPoolExecutor
from minirun.testing import Host, listening
with Host() as host:
    def one(number):
        return host.run("busybox", ["httpd", "-f", "-p", "80"], ports=[80], ready=listening(80)).port(80)
    started = time.monotonic()
    with ThreadPoolExecutor(16) as pool:
        ports = list(pool.map(one, range(48)))
    print(len(set(ports)), time.monotonic() - started)
"""


@pytest.fixture
def machine() -> Iterator[Host]:
    with Host() as host:
        host.minirun("run", "--rm", "busybox", "true")
        yield host


def test_no_port_is_given_twice(machine: Host, tmp_path: Path) -> None:
    """Each server is asked through its published port for its own name, while the others run."""
    (tmp_path / "seen").mkdir()
    env = {**ENV, "SEEN": str(tmp_path / "seen"), "STARTS": str(STARTS)}
    started = time.monotonic()
    done = machine.run([*suite(tmp_path, SUITE), "-p", "xdist", "-n", "4"], check=False, timeout=60 + STARTS, env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    print(f"\n{STARTS} starts with 4 workers: {time.monotonic() - started:.1f} s")
    assert len(list((tmp_path / "seen").iterdir())) == STARTS


def test_servers_in_threads(machine: Host) -> None:
    """48 in 16 threads."""
    ports, seconds = machine.run([sys.executable, "-c", THREADS], timeout=60, env=ENV).stdout.split()
    print(f"\n48 servers in 16 threads: {float(seconds):.2f} s")
    assert int(ports) == 48
    assert machine.minirun("ps", "-aq").stdout == ""
