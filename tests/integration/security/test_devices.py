"""Devices: what the rules let a container do."""

import os
import struct

import pytest
from minirun.kernel._sys import ffi, lib

from tests.harness import Host, eventually


def inside(host: Host, script: str, *words: str) -> list[str]:
    flags = ["--net=none", "--cap-add=SYSLOG", *words]
    return str(host.minirun("run", "--rm", *flags, "busybox", "sh", "-c", script).stdout).split()


@pytest.mark.parametrize(
    ("access", "expected"),
    [("r", ["read"]), ("w", ["written"]), ("rw", ["read", "written"]), ("", ["read", "written"])],
)
def test_a_device_may_be_read_or_written_alone(primed: Host, access: str, expected: list[str]) -> None:
    device = "/dev/kmsg:/dev/log" + (f":{access}" if access else "")
    script = "(: < /dev/log) && echo read; (: > /dev/log) && echo written; true"
    assert inside(primed, script, "--device", device) == expected
    flags = ["--name", "web", "--net=none", "--cap-add=SYSLOG", "--device", device]
    primed.minirun("run", "-d", *flags, "busybox", "sleep", "1000")
    assert primed.minirun("exec", "web", "sh", "-c", script).stdout.split() == expected


def test_a_rule_opens_nodes_that_are_made_or_bound(primed: Host) -> None:
    """And no others: the program stands alone there, since those mounts are not nodev."""
    script = """
        mknod /dev/log c 1 11; (: < /dev/log) && echo own; (: > /dev/log) && echo written
        (: < /host/kmsg) && echo bound; (: < /host/loop-control) && echo other
        mknod /dev/mem c 1 1; (: < /dev/mem) && echo mem
        """
    flags = ["-v", "/dev:/host", "--cap-add=SYS_RAWIO"]
    assert inside(primed, script + "true", *flags, "--device-cgroup-rule", "c 1:11 r") == ["own", "bound"]
    assert inside(primed, script + "true", *flags) == []
    assert inside(primed, "(: > /dev/kmsg) && echo all", "--privileged") == ["all"]


def test_restarts_add_no_second_program(primed: Host) -> None:
    primed.minirun("run", "-d", "--name", "again", "--restart=always", "--net=none", "busybox", "sleep", "0.05")
    restarts = ["inspect", "-f", "{{.RestartCount}}", "again"]
    eventually(lambda: int(primed.minirun(*restarts).stdout) >= 2)
    identity = primed.minirun("inspect", "-f", "{{.Id}}", "again").stdout.strip()
    found = primed.sh(f"find /sys/fs/cgroup -type d -name {identity}").split()
    if not found:
        pytest.skip("this machine has no cgroup v2 hierarchy")
    assert _programs(f"/proc/{primed.pid}/root{found[0]}") == 1


def _programs(group: str) -> int:
    """How many rule on a group's devices: BPF_PROG_QUERY (bpf(2))."""
    directory = os.open(group, os.O_RDONLY)
    attributes = ffi.new("char[]", struct.pack("<IIIIQI", directory, 6, 0, 0, 0, 0).ljust(128, b"\0"))
    assert lib.sys_bpf(16, attributes, 128) == 0
    os.close(directory)
    return int(struct.unpack_from("<I", ffi.buffer(attributes), 24)[0])


@pytest.mark.parametrize(
    "text", ["c 1:3", "x 1:3 r", "c 1 r", "c 1:3 q", "c 1:3 rr", "c -1:3 r", "", "c 9999999999:1 r"]
)
def test_what_is_no_rule(host: Host, text: str) -> None:
    done = host.minirun("create", "--device-cgroup-rule", text, "busybox", check=False)
    assert done.returncode == 125
    assert f"invalid device cgroup format '{text}'" in done.stderr
