"""A state root without room, and a state database that is locked, damaged, lost or of another version."""

import subprocess
import sys
import time

import pytest

from tests.harness import Host, Snapshot, assert_same, eventually
from tests.harness.host import MINIRUN

ROOT = "/var/lib/minirun"
# Writes until nothing more fits, then gives back what is asked for.
_FILL = f"""
import os, sys
with open("{ROOT}/ballast", "wb", buffering=0) as file:
    try:
        while True: file.write(bytes(4096))
    except OSError: pass
    os.ftruncate(file.fileno(), max(0, os.fstat(file.fileno()).st_size - int(sys.argv[1])))
"""


@pytest.fixture
def small(primed: Host) -> Host:
    """The state root is a tmpfs of 8 MiB."""
    primed.sh(f"mount -o remount,size=8m {ROOT}")
    return primed


def _fill(host: Host, spare: int = 0) -> None:
    host.run([sys.executable, "-c", _FILL, str(spare)])


def _make_room(host: Host) -> None:
    host.sh(f"rm -f {ROOT}/ballast")


def _one_line(stderr: str) -> bool:
    return stderr.startswith("minirun: ") and "Traceback" not in stderr and len(stderr.strip().splitlines()) <= 2


def _assert_sound(host: Host) -> None:
    check = f"import sqlite3; print(*sqlite3.connect('{ROOT}/state.db').execute('pragma integrity_check').fetchone())"
    assert host.run([sys.executable, "-c", check]).stdout == "ok\n"


def test_the_log_says_how_much_is_missing_and_the_program_goes_on(small: Host) -> None:
    small.minirun("run", "-di", "--name", "talk", "--net=none", "busybox", "sh", "-c", "while read a; do echo $a; done")
    talker = small.popen([MINIRUN, "attach", "talk"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert talker.stdin
    assert talker.stdout

    def say(line: bytes) -> None:
        assert talker.stdin
        assert talker.stdout
        talker.stdin.write(line)
        talker.stdin.flush()
        assert talker.stdout.readline() == line  # whatever becomes of the log

    say(b"before\n")
    _fill(small)
    for number in range(200):
        say(b"%04d" % number + b"x" * 95 + b"\n")
    lines = small.minirun("logs", "talk").stdout.splitlines()
    assert lines[0] == "before"
    assert [line[:4] for line in lines[1:]] == [f"{number:04}" for number in range(len(lines) - 1)]
    _make_room(small)
    say(b"after\n")
    done = small.minirun("logs", "talk")
    assert done.stdout.splitlines() == [*lines, "after"]
    assert done.stderr == f"minirun: {(201 - len(lines)) * 100} bytes are missing here: the disk was full\n"
    small.minirun("rm", "-f", "talk")


def test_the_program_gets_enospc_and_minirun_is_fine(small: Host) -> None:
    before = Snapshot.of(small)
    small.minirun("run", "-d", "--name", "web", "busybox", "sleep", "1000")
    script = "dd if=/dev/zero of=/big bs=64k; echo $?; rm /big; echo small > /small && cat /small"
    done = small.minirun("exec", "web", "sh", "-c", script)
    assert "No space left on device" in done.stderr
    assert done.stdout == "1\nsmall\n"
    assert (
        small.minirun("run", "--rm", "busybox", "sh", "-c", "dd if=/dev/zero of=/big bs=64k", check=False).returncode
        == 1
    )
    small.minirun("exec", "web", "sh", "-c", "dd if=/dev/zero of=/big bs=64k 2>/dev/null; true")
    assert "Up" in small.minirun("ps").stdout
    small.minirun("rm", "-f", "web", timeout=10)
    small.minirun("ps")  # makes the reserve again
    assert_same(small, before)


def test_a_start_without_room_says_so_and_leaves_nothing(small: Host) -> None:
    """At whatever point of the start the room ends."""
    before = Snapshot.of(small)
    codes = set()
    for spare in (0, 4, 8, 12, 16, 24, 32, 40, 48, 56, 64, 80, 96, 128):
        _fill(small, spare * 1024)
        process = small.popen(
            [MINIRUN, "run", "--rm", "busybox", "echo", "hi"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        try:
            out, err = process.communicate(timeout=4)
        except subprocess.TimeoutExpired:  # the end waits for room to be recorded, and says so
            _make_room(small)
            out, err = process.communicate(timeout=20)
            assert "cannot be written: No space left on device; tried until it can" in err.decode()
        codes.add(process.returncode)
        assert process.returncode in (0, 125), (spare, err)
        # One whose start cannot be recorded is ended, and may have said something by then.
        assert out == b"hi\n" or process.returncode == 125
        if process.returncode:
            assert _one_line(err.decode()), (spare, err)
            assert b"No space left on device" in err, (spare, err)
        _make_room(small)
        assert small.minirun("ps", "-aq").stdout == ""
        _assert_sound(small)
        assert_same(small, before)
    assert codes == {0, 125}
    small.minirun("run", "--rm", "busybox", "true")


@pytest.mark.parametrize(
    "words", [["create", "busybox"], ["network", "create", "db"], ["rename", "web", "next"]], ids=" ".join
)
def test_other_writers_without_room(small: Host, words: list[str]) -> None:
    small.minirun("create", "--name", "web", "busybox")
    small.sh(
        f"{sys.executable} -c \"import sqlite3; sqlite3.connect('{ROOT}/state.db').execute('pragma wal_checkpoint')\""
    )
    _fill(small)
    done = small.minirun(*words, check=False)
    assert (done.returncode, _one_line(done.stderr)) == (1, True), done.stderr
    assert "No space left on device" in done.stderr
    assert "web" in small.minirun("ps", "-a").stdout
    _make_room(small)
    _assert_sound(small)
    small.minirun(*words)


def test_on_a_full_disk_one_can_still_look_and_stop_and_remove(small: Host) -> None:
    """A reserve is kept for that, and made again when there is room."""
    before = Snapshot.of(small)
    for name in ("one", "two"):
        small.minirun("run", "-d", "--name", name, "-p", "80", "busybox", "sleep", "1000")
    for _ in range(3):
        _fill(small)
        assert small.minirun("ps", "-aq").stdout.count("\n") == 2
        assert small.minirun("create", "busybox", check=False).returncode == 1
    small.minirun("stop", "-t", "0", "one", timeout=15)
    small.minirun("rm", "one", timeout=15)
    small.minirun("rm", "-f", "two", timeout=15)
    _make_room(small)
    small.minirun("ps")
    assert_same(small, before)
    assert small.sh(f"stat -c %b {ROOT}/reserve") == "1024\n"


# --- locked

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


# --- damaged, lost, of another version


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
        assert "nothing was touched" in done.stderr
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


# --- the shim is gone


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["ps", "-a"], "Exited (137)"),
        (["inspect", "--format", "{{.State.Status}} {{.State.Pid}} {{.State.ExitCode}}", "web"], "exited 0 137"),
        (["logs", "web"], "hello"),
        (["logs", "-f", "web"], "hello"),
        (["wait", "web"], "137"),
        (["start", "web"], "web"),
        (["rm", "web"], "web"),
        (["port", "web"], ""),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_the_command_after_a_lost_shim_tells_the_truth(primed: Host, words: list[str], says: str) -> None:
    """And cleans up: ports, addresses and names are free, the policy brings it back only at `system start`."""
    before = Snapshot.of(primed)
    flags = ["--restart=always", "--name", "web", "-p", "8080:80"]
    primed.minirun("run", "-d", *flags, "busybox", "sh", "-c", "echo hello; exec sleep 1000")
    shim = primed.minirun("inspect", "--format", "{{.State.MonitorPid}}", "web").stdout.strip()
    eventually(lambda: primed.minirun("logs", "web").stdout == "hello\n")
    primed.sh(f"kill -9 {shim}")
    eventually(lambda: not primed.sh("pgrep -f '[s]leep 1000'", check=False))
    assert says in primed.minirun(*words, timeout=10).stdout
    if words[0] == "start":
        primed.minirun("stop", "-t", "0", "web")
    if words[0] != "rm":
        primed.minirun("run", "--rm", "-p", "8080:80", "busybox", "true")
        assert primed.minirun("system", "start").stdout == "web\n"
        assert "Up" in primed.minirun("ps").stdout
        primed.minirun("rm", "-f", "web")
    assert_same(primed, before)
