"""System call filters (seccomp(2)): compiled by libseccomp, put in force by the kernel.

A filter is a program of classic BPF that the kernel runs at each system call, with the call's number, the architecture
it was made by, and its six arguments.
"""

import errno
import os
import struct
from collections.abc import Sequence
from typing import NamedTuple

from minirun.kernel.seam import shell
from minirun.kernel.syscalls import check, ffi, lib

Instruction = struct.Struct("=HBBI")  # struct sock_filter: code, jt, jf, k
ALLOW, LOG, TRAP, KILL_THREAD, KILL_PROCESS = 0x7FFF0000, 0x7FFC0000, 0x00030000, 0, 0x80000000
ERRNO, TRACE = 0x00050000, 0x7FF00000  # | a number
MASKED_EQUAL = 7
# SCMP_CMP_*
OPERATORS = {"NE": 1, "LT": 2, "LE": 3, "EQ": 4, "GE": 5, "GT": 6, "MASKED_EQ": MASKED_EQUAL}
# AUDIT_ARCH_* of linux/audit.h, which libseccomp has for its own, too; x32 is libseccomp's, and the kernel's x86-64.
X86_64, X86, AARCH64, ARM = 0xC000003E, 0x40000003, 0xC00000B7, 0x40000028
X32 = 0x4000003E
X32_BIT = 0x40000000  # in the number of a call by the x32 ABI

_MOST = 4096  # BPF_MAXINSNS


class Comparison(NamedTuple):
    """Compares one argument (0 to 5), all 64 bits. With MASKED_EQ `value` is the mask, and `other` the operand."""

    argument: int
    operator: int
    value: int
    other: int = 0


class Filter:
    """A filter that is being made. Raises OSError when libseccomp is missing, or refuses a rule."""

    def __init__(self, default_action: int, arches: Sequence[int]) -> None:
        _load()
        self._filter = lib.scmp_open(default_action, list(arches), len(arches))
        if self._filter == ffi.NULL:
            raise OSError(errno.EINVAL, "libseccomp refuses the default action, or an architecture")

    def close(self) -> None:
        """Free the filter."""
        lib.scmp_close(self._filter)

    def add(self, action: int, name: str, comparisons: Sequence[Comparison] = ()) -> None:
        """Add a rule: `action` for a call when all comparisons hold. Unknown names are ignored, as in Docker."""
        array = ffi.new("struct scmp_arg_cmp[]", [tuple(comparison) for comparison in comparisons])
        result = lib.scmp_add(self._filter, action, name.encode(), len(comparisons), array)
        if result < 0:
            raise OSError(-result, f"libseccomp refuses the rule for {name}: {os.strerror(-result)}")

    def export(self) -> bytes:
        """The filter as a BPF program."""
        fd = os.memfd_create("filter", os.MFD_CLOEXEC)
        try:
            result = lib.scmp_export(self._filter, fd)
            if result < 0:
                raise OSError(-result, f"libseccomp cannot make a program of it: {os.strerror(-result)}")
            return os.pread(fd, _MOST * Instruction.size + 1, 0)
        finally:
            os.close(fd)


def syscall_number(arch: int, name: str) -> int:
    """The number of a system call; negative when the architecture has none of that name."""
    _load()
    return int(lib.scmp_resolve(arch, name.encode()))


@shell("# seccomp(2): system calls are filtered from here on")
def seccomp_load(program: bytes) -> None:
    """Filter the system calls of this process and its descendants, irrevocably.

    It takes CAP_SYS_ADMIN, or PR_SET_NO_NEW_PRIVS before.
    """
    check(lib.sys_seccomp(ffi.from_buffer(program), len(program) // Instruction.size))


def _load() -> None:
    problem = lib.scmp_load()
    if problem != ffi.NULL:
        text = ffi.string(problem).decode()
        raise OSError(errno.ENOSYS, f"{text}; it is in the package libseccomp2")
