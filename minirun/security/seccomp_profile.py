"""Read and check a seccomp profile in Docker's JSON format, which may be anything.

https://docs.docker.com/engine/security/seccomp/
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from minirun.errors import MinirunError
from minirun.kernel import seccomp

LARGEST = 1 << 20  # characters of a profile
_SIMPLE = {
    "SCMP_ACT_ALLOW": seccomp.ALLOW,
    "SCMP_ACT_LOG": seccomp.LOG,
    "SCMP_ACT_TRAP": seccomp.TRAP,
    "SCMP_ACT_KILL": seccomp.KILL_THREAD,
    "SCMP_ACT_KILL_THREAD": seccomp.KILL_THREAD,
    "SCMP_ACT_KILL_PROCESS": seccomp.KILL_PROCESS,
}
_NUMBERED = {"SCMP_ACT_ERRNO": seccomp.ERRNO, "SCMP_ACT_TRACE": seccomp.TRACE}
_EPERM = 1
_ARCHES = {
    "SCMP_ARCH_X86_64": seccomp.X86_64,
    "SCMP_ARCH_X86": seccomp.X86,
    "SCMP_ARCH_X32": seccomp.X32,
    "SCMP_ARCH_AARCH64": seccomp.AARCH64,
    "SCMP_ARCH_ARM": seccomp.ARM,
}
_NAME = re.compile(r"[a-z0-9_]{1,64}\Z")
_RELEASE = re.compile(r"(\d{1,5})\.(\d{1,5})\Z")
# Keys without effect.
_COMMENTS = ("comment", "comments")
_PROFILE = ("defaultAction", "defaultErrnoRet", "architectures", "archMap", "syscalls", *_COMMENTS)
_RULE = ("names", "name", "action", "errnoRet", "args", "includes", "excludes", *_COMMENTS)
_ARGUMENT = ("index", "value", "valueTwo", "op")
_CONDITION = ("caps", "arches", "minKernel")


@dataclass(frozen=True)
class Condition:
    """A condition of a rule, which must hold (`includes`) or not hold (`excludes`)."""

    capabilities: frozenset[str] = frozenset()
    arches: frozenset[str] = frozenset()  # in Go's names
    kernel: tuple[int, int] = (0, 0)  # the lowest version


@dataclass(frozen=True)
class Rule:
    """What to do with some system calls, if the comparisons of their arguments and the conditions hold."""

    names: tuple[str, ...]
    action: int
    comparisons: tuple[seccomp.Comparison, ...]
    includes: Condition
    excludes: Condition


@dataclass(frozen=True)
class Profile:
    """A whole profile. Actions are the kernel's, with the error number (seccomp(2))."""

    default_action: int
    arches: Mapping[int, tuple[int, ...]]  # native architecture -> others that the machine can run
    rules: tuple[Rule, ...]


def parse(text: str) -> Profile:
    """Parse a profile. MinirunError says what is wrong, and where."""
    if len(text) > LARGEST:
        raise _wrong(f"it is longer than {LARGEST} characters")
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _wrong(f"it is not JSON: {error}") from None
    _keys(data, _PROFILE, "the profile")
    rules = _list(data, "syscalls", "the profile")
    return Profile(
        _action(data.get("defaultAction"), data.get("defaultErrnoRet"), "defaultAction"),
        _arches(data),
        tuple(_rule(rule, f"syscalls[{index}]") for index, rule in enumerate(rules)),
    )


def _rule(data: Any, where: str) -> Rule:
    _keys(data, _RULE, where)
    names = _strings(data, "names", where) or ([data["name"]] if isinstance(data.get("name"), str) else [])
    if not names:
        raise _wrong(f"{where} names no system call")
    if bad := [name for name in names if not _NAME.match(name)]:
        raise _wrong(f"{where}: {bad[0]!r} is not the name of a system call")
    arguments = _list(data, "args", where)
    return Rule(
        tuple(names),
        _action(data.get("action"), data.get("errnoRet"), f"{where}.action"),
        tuple(_comparison(argument, f"{where}.args[{index}]") for index, argument in enumerate(arguments)),
        _condition(data.get("includes"), f"{where}.includes"),
        _condition(data.get("excludes"), f"{where}.excludes"),
    )


def _comparison(data: Any, where: str) -> seccomp.Comparison:
    _keys(data, _ARGUMENT, where)
    name = str(data.get("op", "")).removeprefix("SCMP_CMP_")
    if name not in seccomp.OPERATORS:
        raise _wrong(f"{where}.op is {data.get('op')!r}, not one of SCMP_CMP_{', '.join(seccomp.OPERATORS)}")
    return seccomp.Comparison(
        _number(data, "index", 5, where),
        seccomp.OPERATORS[name],
        _number(data, "value", (1 << 64) - 1, where),
        _number(data, "valueTwo", (1 << 64) - 1, where),
    )


def _condition(data: Any, where: str) -> Condition:
    if data is None:
        return Condition()
    _keys(data, _CONDITION, where)
    capabilities = [name.lower() for name in _strings(data, "caps", where)]
    release = data.get("minKernel", "0.0")
    version = _RELEASE.match(release) if isinstance(release, str) else None
    if not version:
        raise _wrong(f"{where}.minKernel is {release!r}, not a version such as 4.8")
    return Condition(
        frozenset(name.removeprefix("cap_") for name in capabilities),
        frozenset(_strings(data, "arches", where)),
        (int(version[1]), int(version[2])),
    )


def _action(name: Any, number: Any, where: str) -> int:
    if isinstance(name, str) and name in _SIMPLE:
        return _SIMPLE[name]
    if not isinstance(name, str) or name not in _NUMBERED:
        known = ", ".join([*_SIMPLE, *_NUMBERED])
        raise _wrong(f"{where} is {name!r}; minirun knows {known}")
    if number is not None and (type(number) is not int or not 0 <= number < 4096):
        raise _wrong(f"{where} has the invalid error number {number!r}")
    return _NUMBERED[name] | (_EPERM if number is None else number)


def _arches(data: dict[str, Any]) -> Mapping[int, tuple[int, ...]]:
    """Return the architectures. Unknown ones are left out: the machine cannot make their calls."""
    flat = [_ARCHES[name] for name in _strings(data, "architectures", "the profile") if name in _ARCHES]
    arches = {native: tuple(other for other in flat if other != native) for native in flat}
    for index, entry in enumerate(_list(data, "archMap", "the profile")):
        where = f"archMap[{index}]"
        _keys(entry, ("architecture", "subArchitectures"), where)
        name = entry.get("architecture")
        subarches = _strings(entry, "subArchitectures", where)
        if isinstance(name, str) and name in _ARCHES:
            arches[_ARCHES[name]] = tuple(_ARCHES[subarch] for subarch in subarches if subarch in _ARCHES)
    return arches


def _keys(data: Any, known: Sequence[str], where: str) -> None:
    """Refuse unknown keys: ignoring a condition would allow what its author meant to forbid."""
    if not isinstance(data, dict):
        raise _wrong(f"{where} is not an object")
    if more := [key for key in data if key not in known]:
        raise _wrong(f"{where} has {more[0]!r}, which minirun does not know")


def _list(data: dict[str, Any], key: str, where: str) -> list[Any]:
    values = data.get(key)
    if values is not None and not isinstance(values, list):
        raise _wrong(f"{where}: {key} is not a list")
    return values or []


def _strings(data: dict[str, Any], key: str, where: str) -> list[str]:
    values = _list(data, key, where)
    if not all(isinstance(value, str) for value in values):
        raise _wrong(f"{where}: {key} is not a list of strings")
    return values


def _number(data: dict[str, Any], key: str, most: int, where: str) -> int:
    number = data.get(key, 0)
    if type(number) is not int or not 0 <= number <= most:
        raise _wrong(f"{where}.{key} is {number!r}, not a number from 0 to {most}")
    return number


def _wrong(what: str) -> MinirunError:
    return MinirunError(f"seccomp profile: {what}")
