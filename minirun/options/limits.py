"""Resource limits: --memory*, --cpu*, --pids-limit, --blkio-weight, and Docker's checks of them."""

import re
from collections.abc import Callable
from dataclasses import fields
from typing import Any

from minirun.kernel.limits import Limits, cpus_available, mems_available, swap_total
from minirun.options import option_error
from minirun.options.values import MAX_INT64, parse_bytes

_CPUS = re.compile(r"(?=\.?[0-9])([0-9]{0,20})\.?([0-9]{0,99})\Z")
_CPU_LIST = re.compile(r"([0-9]{1,6})(?:-([0-9]{1,6}))?\Z")
_LEAST_MEMORY = 6 << 20
_LEAST_NANO_CPUS = 10_000_000
_LEAST_PERIOD, _MOST_PERIOD, _LEAST_QUOTA = 1_000, 1_000_000, 1_000  # microseconds, the kernel's bounds


def parse_memory_swap(text: str) -> int:
    """Parse --memory-swap: bytes of memory and swap together; -1 is no limit."""
    return -1 if text == "-1" else parse_bytes(text, "--memory-swap")


def parse_cpus(text: str) -> int:
    """Parse --cpus. Return billionths of a CPU."""
    match = _CPUS.match(text)
    if not match:
        raise option_error(f'invalid argument "{text}" for --cpus: not a number', "such as 1.5")
    part = match[2].rstrip("0")
    if len(part) > 9:
        raise option_error(f'invalid argument "{text}" for --cpus: value is too precise', "nine digits after the point")
    nano = int(match[1] or "0") * 1_000_000_000 + int(part.ljust(9, "0"))
    if nano > MAX_INT64:
        raise option_error(f'invalid argument "{text}" for --cpus: too large')
    return nano


_FIELDS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "memory": ("memory", parse_bytes),
    "memory-swap": ("memory_swap", parse_memory_swap),
    "memory-reservation": ("memory_reservation", lambda text: parse_bytes(text, "--memory-reservation")),
    "cpus": ("nano_cpus", parse_cpus),
    "cpu-shares": ("cpu_shares", int),
    "cpu-quota": ("cpu_quota", int),
    "cpu-period": ("cpu_period", int),
    "cpuset-cpus": ("cpuset_cpus", str),
    "cpuset-mems": ("cpuset_mems", str),
    "pids-limit": ("pids", int),
    "blkio-weight": ("blkio_weight", int),
}


def parse_cpu_list(text: str, what: str = "cpus") -> set[int]:
    """Parse --cpuset-cpus, such as `0-2,5` (cpuset(7), "List format"), or `what` else has that form."""
    numbers: set[int] = set()
    for piece in text.split(","):
        match = _CPU_LIST.match(piece)
        if not match or int(match[2] or match[1]) < int(match[1]):
            raise option_error(f"Invalid value {text} for cpuset {what}", "numbers and ranges, such as 0-2,5")
        numbers.update(range(int(match[1]), int(match[2] or match[1]) + 1))
    return numbers


def parse_limits(given: dict[str, str | int]) -> tuple[tuple[str, int | str], ...]:
    """Parse the options in `given`, by name. Return fields of Limits, as a spec keeps them.

    They are not checked as a whole yet: for `update` the whole includes the limits that the container has.
    """
    values = {_FIELDS[name][0]: _FIELDS[name][1](text) for name, text in given.items()}
    return limit_fields(Limits(**values))


def limit_fields(limits: Limits) -> tuple[tuple[str, int | str], ...]:
    """Return the names and values of the limits that are set."""
    return tuple((field.name, value) for field in fields(Limits) if (value := getattr(limits, field.name)))


def check_limits(limits: Limits, cpus: str = "", nodes: str = "") -> Limits:
    """Check limits as a whole and return them. `cpus` and `nodes` of memory are lists, by default this machine's."""
    _check_memory(limits)
    _check_cpus(limits, cpus or cpus_available())
    _check_quota(limits)
    if limits.cpuset_mems:
        nodes = nodes or mems_available()
        if not parse_cpu_list(limits.cpuset_mems, "mems") <= parse_cpu_list(nodes):
            raise option_error(
                f"Requested memory nodes are not available - requested {limits.cpuset_mems}, available: {nodes}"
            )
    if limits.pids < -1:
        raise option_error(f"Invalid pids limit: {limits.pids}", "a number, or -1 for no limit")
    if limits.blkio_weight and not 10 <= limits.blkio_weight <= 1000:
        raise option_error("Range of blkio weight is from 10 to 1000")
    return limits


def _check_memory(limits: Limits) -> None:
    if 0 < limits.memory < _LEAST_MEMORY:
        raise option_error("Minimum memory limit allowed is 6MB")
    if limits.memory_swap > 0 and not limits.memory:
        raise option_error("You should always set the Memory limit when using Memoryswap limit, see usage")
    if 0 < limits.memory_swap < limits.memory:
        raise option_error("Minimum memoryswap limit should be larger than memory limit, see usage")
    if 0 < limits.memory_reservation < _LEAST_MEMORY:
        raise option_error("Minimum memory reservation allowed is 6MB")
    if 0 < limits.memory < limits.memory_reservation:
        raise option_error("Minimum memory limit can not be less than memory reservation limit, see usage")


def _check_cpus(limits: Limits, available: str) -> None:
    available_cpus = parse_cpu_list(available)
    count = len(available_cpus)
    if limits.nano_cpus and not _LEAST_NANO_CPUS <= limits.nano_cpus <= count * 1_000_000_000:
        raise option_error(f"Range of CPUs is from 0.01 to {count}.00, as there are only {count} CPUs available")
    if limits.cpu_shares < 0:
        raise option_error(f"invalid CPU shares ({limits.cpu_shares}): value must be a positive integer")
    if limits.cpuset_cpus and not parse_cpu_list(limits.cpuset_cpus) <= available_cpus:
        raise option_error(f"Requested CPUs are not available - requested {limits.cpuset_cpus}, available: {available}")


def _check_quota(limits: Limits) -> None:
    for name, value in (("CPU Period", limits.cpu_period), ("CPU Quota", limits.cpu_quota)):
        if limits.nano_cpus and value > 0:
            raise option_error(
                f"Conflicting options: Nano CPUs and {name} cannot both be set.",
                "--cpus=1.5 is --cpu-period=100000 --cpu-quota=150000",
            )
    if limits.cpu_period and not _LEAST_PERIOD <= limits.cpu_period <= _MOST_PERIOD:
        raise option_error("CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)")
    if 0 < limits.cpu_quota < _LEAST_QUOTA:
        raise option_error("CPU cfs quota can not be less than 1ms (i.e. 1000)")


def merge_limits(old: Limits, new: Limits) -> Limits:
    """Return the limits after `update`: the new ones, and the old ones where there is no new one; not checked yet."""
    _check_quota_update(old, new)
    values = {field.name: getattr(new, field.name) or getattr(old, field.name) for field in fields(Limits)}
    if new.memory and not new.memory_swap and old.memory:
        if 0 < swap_total(old) < new.memory:
            raise option_error(
                "Memory limit should be smaller than already set memoryswap limit,"
                " update the memoryswap at the same time"
            )
        values["memory_swap"] = swap_total(old)  # Docker's default applies only when memory is first limited
    return Limits(**values)


def _check_quota_update(old: Limits, new: Limits) -> None:
    """A container has --cpus, or a quota and a period: update does not change one into the other."""
    for name in ("Period", "Quota"):
        field = f"cpu_{name.lower()}"
        if new.nano_cpus > 0 and getattr(old, field) > 0:
            raise option_error(f"Conflicting options: Nano CPUs cannot be updated as CPU {name} has already been set.")
        if getattr(new, field) > 0 and old.nano_cpus > 0:
            raise option_error(f"Conflicting options: CPU {name} cannot be updated as NanoCPUs has already been set.")
