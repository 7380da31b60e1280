"""Settings of a network namespace of the test's own, /proc/sys as it is and read-only."""

from minirun.kernel.sysctl import sysctl_read
from tests.harness import Host
from tests.harness.host import REPO

KEY = "net.ipv4.ping_group_range"  # two numbers, which the kernel shows with a tab between them
_TTL = "net.ipv4.ip_default_ttl"
_ENSURE = """
import sys
from minirun.kernel.sysctl import sysctl_ensure, sysctl_read
key, value = sys.argv[1:]
try:
    print(sysctl_ensure(key, value), sysctl_read(key))
except OSError as error:
    print(error.strerror, error.__notes__)
"""


def _ensure(host: Host, value: str, key: str = KEY) -> str:
    python = str(REPO / ".venv/bin/python")
    return str(host.run([python, "-c", _ENSURE, key, value], cwd=str(REPO)).stdout.strip())


def test_what_differs_is_written_once(host: Host) -> None:
    before = sysctl_read(KEY)
    assert _ensure(host, "5 70000") == "True 5\t70000"
    assert _ensure(host, "5 70000") == "False 5\t70000"
    assert _ensure(host, "6 7") == "True 6\t7"
    assert _ensure(host, "1", "net.ipv4.absent") == "False None"
    assert sysctl_read(KEY) == before, "that of this process's namespace"


def test_on_a_read_only_proc_what_is_right_is_no_error(host: Host) -> None:
    assert _ensure(host, "5 70000").startswith("True")
    host.sh("mount --bind /proc/sys /proc/sys; mount -o remount,bind,ro /proc/sys")
    try:
        assert _ensure(host, "5 70000") == "False 5\t70000"
        assert _ensure(host, "6 7") == f"Read-only file system [\"while doing: sysctl -w {KEY}='6 7'\"]"
    finally:
        host.sh("umount /proc/sys")


def test_what_the_kernel_refuses_is_told(host: Host) -> None:
    assert "while doing: sysctl -w net.ipv4.ip_default_ttl='no number'" in _ensure(host, "no number", _TTL)
