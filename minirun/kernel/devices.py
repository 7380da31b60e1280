"""Which device nodes the processes of a v2 group may open or make: a BPF program of the group (cgroup-v2.rst, "Device
controller"; bpf(2)), which the kernel removes with it.

It is a second barrier: every mount of a container is nodev already, except for single nodes that are bound. Only the
program can allow a node to be read and not written.
"""

import os
import struct
from collections.abc import Iterable
from pathlib import Path

from minirun.kernel.seam import shell
from minirun.kernel.syscalls import check, ffi, lib

Rule = tuple[str, int, int, str]  # c or b; major; minor, each -1 for any; letters of r, w, m (make a node)

# As in Docker: any node may be made, and these may be used.
ALWAYS: tuple[Rule, ...] = (
    ("c", -1, -1, "m"),
    ("b", -1, -1, "m"),
    *(("c", 1, minor, "rwm") for minor in (3, 5, 7, 8, 9)),  # null, zero, full, random, urandom
    *(("c", 5, minor, "rwm") for minor in (0, 1, 2)),  # tty, console, ptmx
    ("c", 136, -1, "rwm"),  # pts/*
)
_PROG_LOAD, _PROG_ATTACH = 5, 8  # enum bpf_cmd
_CGROUP_DEVICE, _AT_DEVICES, _BESIDE_OTHERS = 15, 6, 2  # program type, attach type, BPF_F_ALLOW_MULTI
_KIND = {"b": 1, "c": 2}
_ACCESS = {"m": 1, "r": 2, "w": 4}
_ATTR = 128  # bytes; of the union bpf_attr as much as is used here, the rest of it zero
# Registers: 0 the answer; 1 the context (access << 16 | kind, major, minor); 2 kind, 3 access, 4 major, 5 minor, 6 free
_LOAD, _SET, _COPY, _AND, _SHIFT, _IF_NOT, _IF_NOT_SAME, _EXIT = 0x61, 0xB4, 0xBC, 0x54, 0x74, 0x55, 0x5D, 0x95


def program(rules: Iterable[Rule]) -> bytes:
    """The program that the kernel runs at each open(2) and mknod(2): 1 if a rule allows all of the access, else 0."""
    code = _line(_LOAD, 2, 1, 0) + _line(_COPY, 3, 2) + _line(_AND, 2, number=0xFFFF) + _line(_SHIFT, 3, number=16)
    code += _line(_LOAD, 4, 1, 4) + _line(_LOAD, 5, 1, 8)
    for rule in rules:
        code += _allow(*rule)
    return code + _line(_SET, 0) + _line(_EXIT)


def _allow(kind: str, major: int, minor: int, access: str) -> bytes:
    allowed = sum(_ACCESS[letter] for letter in set(access))
    tests = [(_IF_NOT, 2, 0, _KIND[kind])]
    tests += [(_IF_NOT, 4, 0, major)] if major >= 0 else []
    tests += [(_IF_NOT, 5, 0, minor)] if minor >= 0 else []
    tests += [(_COPY, 6, 3, 0), (_AND, 6, 0, allowed), (_IF_NOT_SAME, 6, 3, 0)]
    steps = [*tests, (_SET, 0, 0, 1), (_EXIT, 0, 0, 0)]
    jumps = (_IF_NOT, _IF_NOT_SAME)
    return b"".join(
        _line(code, to, source, len(steps) - at - 1 if code in jumps else 0, number)
        for at, (code, to, source, number) in enumerate(steps)
    )


def _line(code: int, to: int = 0, source: int = 0, offset: int = 0, number: int = 0) -> bytes:
    """struct bpf_insn."""
    return struct.pack("<BBhi", code, to | source << 4, offset, number)


@shell("# bpf(2): a program says which devices {group} may use")
def devices_allow(group: Path, rules: Iterable[Rule]) -> None:
    """Attach such a program to a group. Raises OSError when the kernel lacks them, or loading is not permitted."""
    code = program(rules)
    text, license_ = ffi.from_buffer(code), ffi.new("char[]", b"GPL")
    loaded = _bpf(_PROG_LOAD, struct.pack("<IIQQ", _CGROUP_DEVICE, len(code) // 8, _address(text), _address(license_)))
    try:
        directory = os.open(group, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            _bpf(_PROG_ATTACH, struct.pack("<IIII", directory, loaded, _AT_DEVICES, _BESIDE_OTHERS))
        finally:
            os.close(directory)
    finally:
        os.close(loaded)


def _bpf(command: int, attributes: bytes) -> int:
    return check(lib.sys_bpf(command, ffi.new("char[]", attributes.ljust(_ATTR, b"\0")), _ATTR))


def _address(buffer: object) -> int:
    return int(ffi.cast("uintptr_t", ffi.cast("void *", buffer)))
