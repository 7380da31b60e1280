"""The database: locked, damaged, lost, of another version, and created by many at once."""

import subprocess
import sys
import time

import pytest

from tests.harness import Host, Snapshot, assert_same
from tests.harness.host import MINIRUN

ROOT = "/var/lib/minirun"


def _one_line(stderr: str) -> bool:
    return stderr.startswith("minirun: ") and "Traceback" not in stderr and len(stderr.strip().splitlines()) <= 2


_HOLD = """
import sqlite3, sys, time
held = sqlite3.connect(sys.argv[1] + "/state.db", isolation_level=None)
held.execute("begin exclusive")
print("held", flush=True)
time.sleep(float(sys.argv[2]))
"""


def _hold(host: Host, seconds: float) -> "subprocess.Popen[bytes]":
    holder = host.popen([sys.executable, "-c", _HOLD, ROOT, str(seconds)], stdout=subprocess.PIPE)
    assert holder.stdout
    assert holder.stdout.readline() == b"held\n"
    return holder


def test_a_lock_is_waited_for(primed: Host) -> None:
    _hold(primed, 2)
    assert primed.minirun("ps").returncode == 0  # who only reads need not wait
    began = time.monotonic()
    assert primed.minirun("run", "--rm", "busybox", "echo", "hi").stdout == "hi\n"
    assert time.monotonic() - began > 1


def test_a_lock_is_not_waited_for_for_ever_and_its_holder_is_named(primed: Host) -> None:
    before = Snapshot.of(primed)
    holder = _hold(primed, 60)
    pid = primed.sh("pgrep -f '[b]egin exclusive'").split()[-1]
    done = primed.minirun("run", "--rm", "busybox", "true", check=False)
    assert done.returncode == 125
    assert _one_line(done.stderr), done.stderr
    assert f"has been locked for 10 s by process {pid} (" in done.stderr
    primed.sh(f"kill {pid}")
    holder.wait(5)
    primed.minirun("run", "--rm", "busybox", "true")
    assert_same(primed, before)


_DAMAGE = {
    "noise": ("os.pwrite(fd, os.urandom(size), 0)", "is damaged"),
    "noise in the middle": ("os.pwrite(fd, os.urandom(size - 4096), 4096)", "is damaged"),
    "half of it": ("os.ftruncate(fd, size // 2)", "is damaged"),
    "a stump": ("os.ftruncate(fd, 50)", "is empty, but"),
    "nothing": ("os.ftruncate(fd, 0)", "is empty, but"),
    "gone": (f"os.unlink('{ROOT}/state.db')", "is empty, but"),
    "newer": ("sqlite3.connect(path).execute('pragma user_version=99')", "was written by another version of minirun"),
    "newer, not closed": (
        "db = sqlite3.connect(path); db.execute('pragma user_version=99'); db.commit(); os._exit(0)",
        "was written by another version of minirun",
    ),
}


@pytest.mark.parametrize("how", list(_DAMAGE))
def test_a_database_that_cannot_be_used_is_named_and_not_touched(primed: Host, how: str) -> None:
    primed.minirun("create", "--name", "web", "busybox")
    damage, says = _DAMAGE[how]
    script = f"""
import os, sqlite3
path = "{ROOT}/state.db"
sqlite3.connect(path).execute("pragma wal_checkpoint(truncate)")
fd = os.open(path, os.O_RDWR); size = os.fstat(fd).st_size
{damage}
"""
    primed.run([sys.executable, "-c", script])
    hashes = f"cd {ROOT} && sha256sum state.db state.db-wal 2>/dev/null | grep -v e3b0c44; find containers"
    before = primed.sh(hashes)
    for words, code in ((["ps", "-a"], 1), (["run", "--rm", "busybox", "true"], 125), (["rm", "-f", "web"], 1)):
        done = primed.minirun(*words, check=False)
        assert (done.returncode, says in done.stderr, _one_line(done.stderr)) == (code, True, True), done.stderr
        assert "nothing was changed" in done.stderr
    assert primed.sh(hashes) == before


def test_damage_that_only_some_commands_meet(primed: Host) -> None:
    """A page in the middle: whoever reads it says a line, not a traceback."""
    for number in range(40):
        primed.minirun("create", "--name", f"box{number}", "--env", "A=" + "x" * 2000, "busybox")
    script = f"""
import os, sqlite3
path = "{ROOT}/state.db"
sqlite3.connect(path).execute("pragma wal_checkpoint(truncate)")
fd = os.open(path, os.O_RDWR); size = os.fstat(fd).st_size
os.pwrite(fd, bytes(4096 * 20), size - 4096 * 25)
"""
    primed.run([sys.executable, "-c", script])
    met = False
    for words in (["ps", "-a"], ["run", "--rm", "busybox", "true"], ["inspect", "box3"], ["rm", "box3"]):
        done = primed.minirun(*words, check=False)
        assert done.returncode == 0 or ("is damaged" in done.stderr and _one_line(done.stderr)), done.stderr
        met = met or done.returncode > 0
    assert met


def test_a_new_root_is_made_by_many_at_once(host: Host) -> None:
    running = [host.popen([MINIRUN, "ps", "-q"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(20)]
    results = [process.communicate(timeout=60) for process in running]
    assert [process.returncode for process in running] == [0] * 20, results
