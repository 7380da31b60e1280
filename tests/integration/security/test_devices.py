"""Rules for devices: what the kernel is given to ask, and what it then lets a container do."""

import os
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from minirun.kernel._sys import ffi, lib

from minirun.engine.start_plan import device_rules
from minirun.kernel.devices import ALWAYS, Rule, program
from minirun.model import Device
from tests.harness import Host, eventually

LETTERS = {"m": 1, "r": 2, "w": 4}
KINDS = {"b": 1, "c": 2}


def answer(code: bytes, kind: str, major: int, minor: int, access: int) -> int:
    """What the kernel's machine makes of it (bpf(2), the instructions that are used)."""
    context = {0: access << 16 | KINDS[kind], 4: major, 8: minor}
    registers = [0] * 10
    lines = [struct.unpack_from("<BBhi", code, at) for at in range(0, len(code), 8)]
    at = 0
    while True:
        operation, operands, offset, number = lines[at]
        to, source = operands & 15, operands >> 4
        at += 1
        if operation == 0x61:
            registers[to] = context[offset]
        elif operation == 0xB4:
            registers[to] = number
        elif operation == 0xBC:
            registers[to] = registers[source]
        elif operation == 0x54:
            registers[to] &= number
        elif operation == 0x74:
            registers[to] >>= number
        elif operation == 0x55:
            at += offset * (registers[to] != number)
        elif operation == 0x5D:
            at += offset * (registers[to] != registers[source])
        elif operation == 0x95:
            return registers[0]
        else:
            raise AssertionError(hex(operation))


def allows(rule: Rule, kind: str, major: int, minor: int, access: int) -> bool:
    mine = sum(LETTERS[letter] for letter in rule[3])
    return rule[0] == kind and rule[1] in (-1, major) and rule[2] in (-1, minor) and access & ~mine == 0


numbers = st.integers(0, 3)
rules = st.lists(
    st.tuples(
        st.sampled_from("bc"), numbers | st.just(-1), numbers | st.just(-1), st.sets(st.sampled_from("rwm"), min_size=1)
    ).map(lambda one: (one[0], one[1], one[2], "".join(sorted(one[3])))),
    max_size=6,
)


@given(rules, st.sampled_from("bc"), numbers, numbers, st.integers(1, 7))
def test_the_program_says_what_the_rules_say(
    given_rules: list[Rule], kind: str, major: int, minor: int, access: int
) -> None:
    wanted = any(allows(rule, kind, major, minor, access) for rule in given_rules)
    assert answer(program(given_rules), kind, major, minor, access) == int(wanted)


def test_the_rules_of_each_container() -> None:
    """All may be made, these may be used: Docker's list."""
    code = program(ALWAYS)
    assert answer(code, "b", 8, 0, LETTERS["m"]) == 1
    used = [(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 1), (5, 2), (136, 77)]
    assert all(answer(code, "c", *node, LETTERS["r"] | LETTERS["w"]) == 1 for node in used)
    others = [("c", 1, 1), ("c", 1, 2), ("c", 1, 11), ("c", 10, 229), ("b", 8, 0), ("b", 1, 3)]
    assert not any(answer(code, *node, LETTERS["r"]) for node in others)


def test_devices_and_words_become_rules() -> None:
    found = device_rules([Device("/dev/null", "/x", "r")], ["a 7:* rm", "c *:3 w"])
    assert found == (*ALWAYS, ("c", 1, 3, "r"), ("b", 7, -1, "rm"), ("c", 7, -1, "rm"), ("c", -1, 3, "w"))


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
