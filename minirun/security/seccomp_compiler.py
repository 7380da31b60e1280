"""Compile a seccomp profile, for a set of capabilities and this machine, to a BPF program for the kernel (seccomp(2)).

libseccomp compiles it. A prologue of our own answers ENOSYS to system calls that are newer than all those the profile
names, as runc does: a C library that tries a new call first then falls back to the old one. With EPERM, the usual
default, it would give up.
"""

import errno
import os
import platform
from collections.abc import Iterable, Iterator
from itertools import groupby

from minirun.errors import MinirunError
from minirun.kernel import seccomp
from minirun.kernel.seccomp import Instruction
from minirun.security.seccomp_profile import Condition, Profile, Rule

# By uname: the architecture for libseccomp, and Go's name for it.
_MACHINES = {"x86_64": (seccomp.X86_64, "amd64"), "aarch64": (seccomp.AARCH64, "arm64")}
_LOAD, _EQUAL, _GREATER, _AT_LEAST, _JUMP, _RETURN = 0x20, 0x15, 0x25, 0x35, 0x05, 0x06  # BPF_*
_AT_NUMBER, _AT_ARCH = 0, 4  # in struct seccomp_data
_NO_SUCH_CALL = seccomp.ERRNO | errno.ENOSYS


def compiled(profile: Profile, capabilities: frozenset[str]) -> bytes:
    """Compile a profile. `capabilities` are those of the container: rules may depend on them.

    MinirunError if libseccomp is missing, does not know this machine, or finds the profile contradictory.
    """
    machine = platform.machine()
    if machine not in _MACHINES:
        raise MinirunError(
            f"seccomp filters are not supported on {machine}", "run without: --security-opt seccomp=unconfined"
        )
    native, go_name = _MACHINES[machine]
    subarches = profile.arches.get(native, ())
    try:
        prologue = b"".join(_prologue(profile, (native, *subarches)))
        program = prologue + _filter(profile, capabilities, subarches, go_name)
    except OSError as error:
        raise MinirunError(f"seccomp profile: {error.strerror}") from error
    if len(program) > 4096 * Instruction.size:
        raise MinirunError(f"seccomp profile: {len(program) // Instruction.size} instructions; the kernel accepts 4096")
    return program


def applies(rule: Rule, capabilities: frozenset[str], go_name: str, kernel: tuple[int, int]) -> bool:
    """Return whether a rule applies: `go_name` is Go's name of the architecture, `kernel` (major, minor)."""
    includes, excludes = rule.includes, rule.excludes
    if not includes.capabilities <= capabilities or excludes.capabilities & capabilities:
        return False
    if (includes.arches and go_name not in includes.arches) or go_name in excludes.arches:
        return False
    return kernel >= includes.kernel and not (excludes.kernel != Condition().kernel and kernel >= excludes.kernel)


def _filter(profile: Profile, capabilities: frozenset[str], subarches: tuple[int, ...], go_name: str) -> bytes:
    bpf_filter = seccomp.Filter(profile.default_action, subarches)
    kernel = _kernel()
    try:
        for rule in profile.rules:
            if rule.action != profile.default_action and applies(rule, capabilities, go_name, kernel):
                for name in rule.names:
                    for comparisons in _alternatives(rule.comparisons):
                        bpf_filter.add(rule.action, name, comparisons)
        return bpf_filter.export()
    finally:
        bpf_filter.close()


def _alternatives(comparisons: tuple[seccomp.Comparison, ...]) -> Iterator[tuple[seccomp.Comparison, ...]]:
    """Yield the comparisons of each rule for libseccomp.

    All comparisons of a rule must hold; but as in runc, if several are about one argument, each is a rule of its own.
    """
    ordered = sorted(comparisons, key=lambda comparison: comparison.argument)
    if any(len(list(group)) > 1 for _, group in groupby(ordered, key=lambda comparison: comparison.argument)):
        yield from ((comparison,) for comparison in comparisons)
    else:
        yield comparisons


def _prologue(profile: Profile, arches: tuple[int, ...]) -> Iterator[bytes]:
    """Return ENOSYS for numbers above the last one that the profile names, for each architecture.

    A profile that names what is forbidden gets no prologue: it allows everything else, new calls too.
    """
    if profile.default_action in (seccomp.ALLOW, seccomp.LOG):
        return
    last = {arch: _last_number(arch, (name for rule in profile.rules for name in rule.names)) for arch in arches}
    x32 = last.pop(seccomp.X32, -1)
    blocks = []
    for arch, number in last.items():
        if number < 0:
            continue
        block = [(_LOAD, 0, 0, _AT_NUMBER)]
        if arch == seccomp.X86_64 and x32 >= 0:  # x32: the same architecture for the kernel, another range of numbers
            block += [(_AT_LEAST, 0, 2, seccomp.X32_BIT), (_GREATER, 1, 0, x32), (_JUMP, 0, 0, 2)]
            block += [(_GREATER, 0, 1, number), (_RETURN, 0, 0, _NO_SUCH_CALL)]
        else:
            block += [(_GREATER, 0, 1, number), (_RETURN, 0, 0, _NO_SUCH_CALL)]
        blocks.append([(_LOAD, 0, 0, _AT_ARCH), (_EQUAL, 0, len(block), arch), *block])
    for block in blocks:
        yield from (Instruction.pack(*instruction) for instruction in block)


def _last_number(arch: int, names: Iterable[str]) -> int:
    numbers = {seccomp.syscall_number(arch, name) for name in names}
    return max((number for number in numbers if number >= 0), default=-1)


def _kernel() -> tuple[int, int]:
    major, minor, *_ = os.uname().release.split(".")
    return int(major), int("".join(char for char in minor if char.isdigit()) or 0)
