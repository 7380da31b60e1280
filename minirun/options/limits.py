"""From the words of a command line to limits, and the checks that Docker makes of them, in its words."""

import re
from collections.abc import Callable
from dataclasses import fields
from typing import Any

from minirun.errors import FAILED, MinirunError
from minirun.kernel.limits import Limits, cpus_available, swap_total

# Bounded: int() refuses a text of thousands of digits with an error of its own.
_SIZE = re.compile(r"([0-9]{1,20}\.?[0-9]{0,20}|\.[0-9]{1,20}) ?(?:b|([kmgtp])(?:i?b)?)?\Z", re.IGNORECASE | re.ASCII)
_CPUS = re.compile(r"(?=\.?[0-9])([0-9]{0,20})\.?([0-9]{0,99})\Z")
_CPU_LIST = re.compile(r"([0-9]{1,6})(?:-([0-9]{1,6}))?\Z")
_LEAST_MEMORY = 6 << 20
_LEAST_NANO_CPUS = 10_000_000
_MOST = 1 << 63  # Docker's numbers, and the kernel's, are of 64 bits with a sign


def _bad(message: str, hint: str = "") -> MinirunError:
    return MinirunError(message, hint, FAILED)


def parse_bytes(text: str, option: str = "--memory") -> int:
    """`64m`, `1.5g`, `512KiB`: bytes. The units are powers of 1024 in any spelling, as Docker's."""
    found = _SIZE.match(text)
    if not found:
        raise _bad(f'invalid argument "{text}" for {option}: invalid size', "a number and b, k, m or g, such as 64m")
    power = "kmgtp".index(found[2].lower()) + 1 if found[2] else 0
    size = _scaled(found[1], 1 << 10 * power)
    if size >= _MOST:
        raise _bad(f'invalid argument "{text}" for {option}: too large')
    return size


def _scaled(number: str, factor: int) -> int:
    """Exact, where a float would round: 8388607.999t is not 8388608t."""
    whole, _, part = number.partition(".")
    return int(whole or "0") * factor + int(part or "0") * factor // int("1".ljust(len(part) + 1, "0"))


def parse_memory_swap(text: str) -> int:
    """--memory-swap: bytes of memory and swap together; -1 is no limit."""
    return -1 if text == "-1" else parse_bytes(text, "--memory-swap")


def parse_cpus(text: str) -> int:
    """--cpus: billionths of a CPU."""
    found = _CPUS.match(text)
    if not found:
        raise _bad(f'invalid argument "{text}" for --cpus: not a number', "such as 1.5")
    part = found[2].rstrip("0")
    if len(part) > 9:
        raise _bad(f'invalid argument "{text}" for --cpus: value is too precise', "nine digits after the point")
    nano = int(found[1] or "0") * 1_000_000_000 + int(part.ljust(9, "0"))
    if nano >= _MOST:
        raise _bad(f'invalid argument "{text}" for --cpus: too large')
    return nano


_FIELDS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "memory": ("memory", parse_bytes),
    "memory-swap": ("memory_swap", parse_memory_swap),
    "memory-reservation": ("memory_reservation", lambda text: parse_bytes(text, "--memory-reservation")),
    "cpus": ("nano_cpus", parse_cpus),
    "cpu-shares": ("cpu_shares", int),
    "cpuset-cpus": ("cpuset_cpus", str),
    "pids-limit": ("pids", int),
    "blkio-weight": ("blkio_weight", int),
}


def parse_cpu_list(text: str) -> set[int]:
    """--cpuset-cpus: `0-2,5` (cpuset(7), "List format")."""
    found: set[int] = set()
    for piece in text.split(","):
        match = _CPU_LIST.match(piece)
        if not match or int(match[2] or match[1]) < int(match[1]):
            raise _bad(f"Invalid value {text} for cpuset cpus", "numbers and ranges of them, such as 0-2,5")
        found.update(range(int(match[1]), int(match[2] or match[1]) + 1))
    return found


def asked(given: dict[str, str | int]) -> tuple[tuple[str, int | str], ...]:
    """From what was typed, by the flags' names, to fields of Limits, as a spec keeps them. Not yet checked as a whole:
    for `update` the whole is what is asked for and what is there."""
    values = {_FIELDS[name][0]: _FIELDS[name][1](text) for name, text in given.items()}
    return compact(Limits(**values))


def compact(limits: Limits) -> tuple[tuple[str, int | str], ...]:
    """What is limited."""
    return tuple((one.name, value) for one in fields(Limits) if (value := getattr(limits, one.name)))


def check(limits: Limits, available: str = "") -> Limits:
    """The same limits, or one clear error. `available`: the machine's CPUs as a list, when not this one's."""
    available = available or cpus_available()
    _check_memory(limits)
    _check_cpus(limits, available)
    if limits.pids < -1:
        raise _bad(f"Invalid pids limit: {limits.pids}", "a number, or -1 for no limit")
    if limits.blkio_weight and not 10 <= limits.blkio_weight <= 1000:
        raise _bad("Range of blkio weight is from 10 to 1000")
    return limits


def _check_memory(limits: Limits) -> None:
    if 0 < limits.memory < _LEAST_MEMORY:
        raise _bad("Minimum memory limit allowed is 6MB")
    if limits.memory_swap > 0 and not limits.memory:
        raise _bad("You should always set the Memory limit when using Memoryswap limit, see usage")
    if 0 < limits.memory_swap < limits.memory:
        raise _bad("Minimum memoryswap limit should be larger than memory limit, see usage")
    if 0 < limits.memory_reservation < _LEAST_MEMORY:
        raise _bad("Minimum memory reservation allowed is 6MB")
    if 0 < limits.memory < limits.memory_reservation:
        raise _bad("Minimum memory limit can not be less than memory reservation limit, see usage")


def _check_cpus(limits: Limits, available: str) -> None:
    there = parse_cpu_list(available)
    most = len(there)
    if limits.nano_cpus and not _LEAST_NANO_CPUS <= limits.nano_cpus <= most * 1_000_000_000:
        raise _bad(f"Range of CPUs is from 0.01 to {most}.00, as there are only {most} CPUs available")
    if limits.cpu_shares < 0:
        raise _bad(f"invalid CPU shares ({limits.cpu_shares}): value must be a positive integer")
    if limits.cpuset_cpus and not parse_cpu_list(limits.cpuset_cpus) <= there:
        raise _bad(f"Requested CPUs are not available - requested {limits.cpuset_cpus}, available: {available}")


def merge(old: Limits, asked: Limits) -> Limits:
    """For `update`: what was asked for, and for the rest what was. Not yet checked as a whole: see check()."""
    values = {one.name: getattr(asked, one.name) or getattr(old, one.name) for one in fields(Limits)}
    if asked.memory and not asked.memory_swap and old.memory:
        if 0 < swap_total(old) < asked.memory:
            raise _bad(
                "Memory limit should be smaller than already set memoryswap limit,"
                " update the memoryswap at the same time"
            )
        values["memory_swap"] = swap_total(old)  # Docker's default is taken once, when memory is first limited
    return Limits(**values)
