"""A profile, for a set of capabilities and this machine, as a program that the kernel takes.

libseccomp makes it. In front of that stands a piece of our own: what is newer than all that the profile names is told
ENOSYS ("no such call"), so that a C library which tries a new call first goes on with the old one. With the
EPERM of the usual default it would give up.
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
    """MinirunError when libseccomp is not there, or the profile contradicts itself."""
    machine = platform.machine()
    if machine not in _MACHINES:
        raise MinirunError(
            f"no system calls can be filtered on {machine} yet", "--security-opt seccomp=unconfined goes without"
        )
    native, go_name = _MACHINES[machine]
    beside = profile.arches.get(native, ())
    try:
        newer = b"".join(_newer(profile, (native, *beside)))
        program = newer + _filtered(profile, capabilities, beside, go_name)
    except OSError as error:
        raise MinirunError(f"seccomp profile: {error.strerror}") from error
    if len(program) > 4096 * Instruction.size:
        raise MinirunError(f"seccomp profile: {len(program) // Instruction.size} instructions; the kernel takes 4096")
    return program


def counts(rule: Rule, capabilities: frozenset[str], go_name: str, kernel: tuple[int, int]) -> bool:
    includes, excludes = rule.includes, rule.excludes
    if not includes.capabilities <= capabilities or excludes.capabilities & capabilities:
        return False
    if (includes.arches and go_name not in includes.arches) or go_name in excludes.arches:
        return False
    return kernel >= includes.kernel and not (excludes.kernel != Condition().kernel and kernel >= excludes.kernel)


def _filtered(profile: Profile, capabilities: frozenset[str], beside: tuple[int, ...], go_name: str) -> bytes:
    made = seccomp.Filter(profile.default_action, beside)
    kernel = _kernel()
    try:
        for rule in profile.rules:
            if rule.action != profile.default_action and counts(rule, capabilities, go_name, kernel):
                for name in rule.names:
                    for comparisons in _alternatives(rule.comparisons):
                        made.add(rule.action, name, comparisons)
        return made.export()
    finally:
        made.close()


def _alternatives(comparisons: tuple[seccomp.Comparison, ...]) -> Iterator[tuple[seccomp.Comparison, ...]]:
    """All of one rule have to hold; but where several are about one argument, each is a rule of its own (as runc has
    it, for which the format was made)."""
    ordered = sorted(comparisons, key=lambda one: one.argument)
    if any(len(list(group)) > 1 for _, group in groupby(ordered, key=lambda one: one.argument)):
        yield from ((one,) for one in comparisons)
    else:
        yield comparisons


def _newer(profile: Profile, arches: tuple[int, ...]) -> Iterator[bytes]:
    """For each architecture: past the last number that the profile names, ENOSYS; else on to the filter. A profile that
    only names what is forbidden lets all else through, whatever it is."""
    if profile.default_action in (seccomp.ALLOW, seccomp.LOG):
        return
    last = {arch: _last_number(arch, (name for rule in profile.rules for name in rule.names)) for arch in arches}
    x32 = last.pop(seccomp.X32, -1)
    blocks = []
    for arch, number in last.items():
        if number < 0:
            continue
        block = [(_LOAD, 0, 0, _AT_NUMBER)]
        if arch == seccomp.X86_64 and x32 >= 0:  # one architecture for the kernel, two ranges of numbers
            block += [(_AT_LEAST, 0, 2, seccomp.X32_BIT), (_GREATER, 1, 0, x32), (_JUMP, 0, 0, 2)]
            block += [(_GREATER, 0, 1, number), (_RETURN, 0, 0, _NO_SUCH_CALL)]
        else:
            block += [(_GREATER, 0, 1, number), (_RETURN, 0, 0, _NO_SUCH_CALL)]
        blocks.append([(_LOAD, 0, 0, _AT_ARCH), (_EQUAL, 0, len(block), arch), *block])
    for block in blocks:
        yield from (Instruction.pack(*one) for one in block)


def _last_number(arch: int, names: Iterable[str]) -> int:
    numbers = {seccomp.syscall_number(arch, name) for name in names}
    return max((one for one in numbers if one >= 0), default=-1)


def _kernel() -> tuple[int, int]:
    major, minor, *_ = os.uname().release.split(".")
    return int(major), int("".join(sign for sign in minor if sign.isdigit()) or 0)
