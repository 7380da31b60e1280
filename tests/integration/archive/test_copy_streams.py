"""cp from and to standard streams, at a terminal, and archives that are refused."""

import os
import pty
import subprocess

import pytest

from tests.harness import Host
from tests.harness.host import MINIRUN
from tests.harness.tar_archives import tar_of
from tests.integration.archive.box import STATES, Box


@pytest.mark.parametrize("state", STATES)
def test_archives_through_standard_streams(box: Box, state: str) -> None:
    box.inside("mkdir -p /t/d /usr/lib2; echo x > /t/d/x; ln -s /usr/lib2 /lib2")
    if state == "stopped":
        box.stop()
    for path, names in (("/t/d", ["d/", "d/x"]), ("/t/d/.", ["./", "./x"]), ("/t/d/x", ["x"])):
        done = box.host.run([MINIRUN, "cp", f"box:{path}", "-"], text=False)
        listed = (
            subprocess.run(["tar", "t"], input=done.stdout, capture_output=True, check=True).stdout.decode().split()
        )
        assert listed == names
    import gzip

    plain = tar_of(("a/b/c", "file", "c"), ("a/l", "link", "/etc"), ("lib2/y", "file", "y"), ("a/h", "hard", "a/b/c"))
    for data in (plain, gzip.compress(plain)):
        done = box.cp("-", "box:/", input=data, text=False)
        assert (done.returncode, done.stderr) == (0, b"")
    found = box.tree(box.upper)
    assert [found[path] for path in ("a/b/c", "a/l", "usr/lib2/y", "a/h")] == ["c", "-> /etc", "y", "c"]
    assert box.host.sh(f"stat -c %u:%h {box.upper}/a/h").strip() == "77:2"  # the archive's owner


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (tar_of(("../out", "file", "x")), "outside"),
        (tar_of(("a/../../out", "file", "x")), "outside"),
        (tar_of(("a", "hard", "../../etc/passwd")), "outside"),
        (tar_of(("etc", "file", "x")), "cannot overwrite directory"),
        (tar_of(("etc/passwd", "dir", "")), "cannot overwrite non-directory"),
        (tar_of(("x", "file", "x" * 5000))[:3000], "cannot be read"),
        (b"no archive at all", "cannot be read"),
    ],
)
def test_archives_that_are_refused(box: Box, data: bytes, message: str) -> None:
    done = box.cp("-", "box:/", input=data, text=False)
    assert done.returncode == 1
    assert message in done.stderr.decode()
    assert box.inside("ls -d /out /tmp/out 2>/dev/null; cat /etc/passwd | head -c 4") == "root"


def test_a_reader_that_leaves(box: Box) -> None:
    box.inside("dd if=/dev/zero of=/big bs=1M count=20 2>/dev/null")
    done = box.host.run(["sh", "-c", f"{MINIRUN} export box | head -c 100 | wc -c; {MINIRUN} cp box:/big - | true"])
    assert (done.stdout, done.stderr) == ("100\n", "")


def _at_a_terminal(host: Host, *words: str) -> str:
    """What a command says when its standard output is a terminal."""
    master, slave = pty.openpty()
    done = host.run([MINIRUN, *words], stdout=slave, check=False)
    os.close(slave)
    os.close(master)
    return str(done.stderr)


def test_at_a_terminal(box: Box) -> None:
    box.host.sh("echo x > /run/w/x; mkdir /run/w/d")
    assert _at_a_terminal(box.host, "cp", "/run/w/x", "box:/tmp") == "Successfully copied 2.05kB to box:/tmp\n"
    assert _at_a_terminal(box.host, "cp", "box:/tmp/x", "/run/w/y") == "Successfully copied 2.05kB to /run/w/y\n"
    assert _at_a_terminal(box.host, "cp", "-q", "box:/tmp/x", "/run/w/y") == ""
    said = _at_a_terminal(box.host, "export", "box")
    assert "cowardly refusing to save to a terminal. Use the -o flag or redirect" in said
