"""A full disk: the log says what is missing, starts leave nothing, and removing still works."""

import subprocess
import sys

import pytest

from tests.harness import Host, Snapshot, assert_same
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
