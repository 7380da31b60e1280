"""Volumes with file systems of their own: mounted with their first container, unmounted with the last."""

import json

import pytest

from tests.harness import Host
from tests.harness.host import MINIRUN
from tests.integration.volume.volume_tools import STATE, inspect, refused, run

_TMPFS = ("-o", "type=tmpfs", "-o", "device=tmpfs")


def _mounted(host: Host) -> str:
    """Where minirun has mounted volumes, as all processes of the host see it."""
    return host.sh(f"grep -o '{STATE}/volumes/[^ ]*' /proc/mounts || true").strip()


def test_a_tmpfs_is_shared_and_there_for_as_long_as_it_is_used(crowded: Host) -> None:
    crowded.minirun("volume", "create", *_TMPFS, "-o", "o=size=1m,mode=1770,noexec", "shared")
    described = json.loads(crowded.minirun("volume", "inspect", "shared").stdout)[0]
    assert described["Options"] == {"type": "tmpfs", "device": "tmpfs", "o": "size=1m,mode=1770,noexec"}
    crowded.minirun("create", "--name", "later", "--net=none", "-v", "shared:/x", "busybox", "cat", "/x/f")
    assert _mounted(crowded) == ""
    for name in ("one", "two"):
        crowded.minirun("run", "-d", "--net=none", "--name", name, "-v", "shared:/x", "busybox", "sleep", "1000")
    assert _mounted(crowded) == f"{STATE}/volumes/shared/_data"
    script = "echo hi > /x/f; df -k /x | tail -n1; stat -c %a /x; dd if=/dev/zero of=/x/big bs=1M count=2; rm /x/big"
    done = crowded.minirun("exec", "one", "sh", "-c", script)
    assert done.stdout.split()[:2] == ["tmpfs", "1024"]
    assert "1770\n" in done.stdout
    assert "No space left on device" in done.stderr
    assert crowded.minirun("exec", "two", "cat", "/x/f").stdout == "hi\n"
    crowded.minirun("rm", "-f", "one")
    crowded.minirun("cp", "/etc/hostname", "later:/x/name")  # it is used
    assert crowded.minirun("exec", "two", "ls", "/x").stdout == "f\nname\n"
    assert crowded.minirun("start", "-a", "later").stdout == "hi\n"
    crowded.minirun("rm", "-f", "two")
    assert _mounted(crowded) == ""
    done = crowded.minirun("cp", "/etc/hostname", "later:/x/f", check=False)
    assert (done.returncode, "/x is a tmpfs, which is there only while" in done.stderr) == (1, True)
    assert crowded.sh(f"ls -A {STATE}/volumes/shared/_data") == ""
    crowded.minirun("rm", "later")
    crowded.minirun("volume", "rm", "shared")


def test_a_file_system_on_a_device_keeps_its_files(crowded: Host) -> None:
    crowded.sh("truncate -s 8M /run/disk && mke2fs -q -t ext4 /run/disk")
    device = crowded.sh("losetup -f --show /run/disk 2>/dev/null || true").strip()
    if not device:
        pytest.skip("this machine has no loop devices")
    option = f"volume-opt=type=ext4,volume-opt=device={device},volume-opt=o=noatime,volume-label=tier=disk"
    try:
        script = "grep ' /x ' /proc/mounts; cat /x/f; echo kept > /x/f"
        first = run(crowded, "--mount", f"type=volume,src=disk,dst=/x,volume-nocopy,{option}", "busybox", script)
        assert " ext4 rw,nodev,noatime" in first
        assert run(crowded, "-v", "disk:/x:ro", "busybox", "cat /x/f") == "kept\n"
        assert crowded.minirun("volume", "ls", "-q", "--filter", "label=tier=disk").stdout == "disk\n"
        assert _mounted(crowded) == ""
        crowded.minirun("create", "--name", "copied", "-v", "disk:/x", "busybox", "true")
        crowded.minirun("cp", "copied:/x/f", "/run/kept")
        assert (crowded.sh("cat /run/kept"), _mounted(crowded)) == ("kept\n", "")
        crowded.minirun("rm", "copied")
        crowded.minirun("run", "-d", "--name", "user", "--net=none", "-v", "disk:/x", "busybox", "sleep", "1000")
        pid = inspect(crowded, "user", ".State.Pid")
        crowded.sh(f"kill -9 $(awk '/^PPid/ {{ print $2 }}' /proc/{pid}/status)")  # its shim: nobody unmounts
        crowded.minirun("rm", "-f", "user")
        assert _mounted(crowded) == ""
        crowded.minirun("volume", "rm", "disk")
    finally:
        crowded.sh(f"losetup -d {device}")
    assert "kept" in crowded.sh("debugfs -R 'cat f' /run/disk 2>/dev/null")  # its files are the owner's


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["type=tmpfs", "device=tmpfs", "o=size=x"], "type: tmpfs, data: size=x: invalid argument"),
        (["type=nosuchfs", "device=x"], "this kernel has no such file system"),
        (["type=ext4", "device=/run/nothing"], "no such file or directory"),
        (["type=nfs", "device=:/x", "o=addr=host.invalid"], "error resolving passed in network volume address"),
    ],
)
def test_a_mount_that_fails_is_told(crowded: Host, options: list[str], says: str) -> None:
    flags = [word for option in options for word in ("-o", option)]
    crowded.minirun("volume", "create", *flags, "failing")
    assert says in refused(crowded, "-v", "failing:/x")
    assert _mounted(crowded) == ""
    crowded.minirun("volume", "rm", "failing")


def test_callers_with_mounts_of_their_own_share_the_volume(crowded: Host) -> None:
    crowded.minirun("volume", "create", *_TMPFS, "across")
    run_it = f"{MINIRUN} run -d --net=none -v across:/x"
    read = "busybox sh -c 'sleep 0.2; cat /x/f'"
    # Whichever comes first, here or there: both have the same files.
    for here, there in (("unshare -m ", ""), ("", "unshare -m ")):
        crowded.sh(f"{here}{run_it} --name first busybox sh -c 'echo $$ > /x/f; sleep 1000'")
        assert crowded.sh(f"{there}{run_it.replace(' -d', ' --rm')} {read}") == "1\n"
        assert _mounted(crowded) == f"{STATE}/volumes/across/_data"
        crowded.minirun("rm", "-f", "first")
        assert _mounted(crowded) == ""
    crowded.minirun("volume", "rm", "across")
