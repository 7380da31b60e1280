"""Values with one syntax wherever they occur: sizes, durations, signals, names."""

import csv
import os
import re
import signal
import time
from typing import TypeVar

from minirun.errors import MinirunError
from minirun.options import invalid_argument, option_error

T = TypeVar("T")
NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*\Z")
_HOSTNAME = re.compile(r"[a-zA-Z0-9]([a-zA-Z0-9.-]{0,62}[a-zA-Z0-9])?\Z")  # HOST_NAME_MAX: 64 bytes
_LONGEST_NAME = 128
_REAL_TIME = re.compile(r"(RTMIN|RTMAX)(?:(?<=N)\+([0-9]{1,2})|(?<=X)-([0-9]{1,2}))?\Z")
# Bounded, because int() refuses thousands of digits with an error of its own.
_SIZE = re.compile(r"([0-9]{1,20}\.?[0-9]{0,20}|\.[0-9]{1,20}) ?(?:b|([kmgtp])(?:i?b)?)?\Z", re.IGNORECASE | re.ASCII)
MAX_INT64 = (1 << 63) - 1  # Docker's and the kernel's numbers are signed 64-bit integers
_PART = re.compile(r"([0-9]{1,18}(?:\.[0-9]{0,9})?|\.[0-9]{1,9})(ns|us|µs|ms|s|m|h)")
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def check_name(name: str, what: str = "container") -> str:
    """Check the name of a container (or of `what`) and return it."""
    shortest = 2 if what == "container" else 1  # Docker's pattern for a container's name ends in +
    if not NAME.match(name) or not shortest <= len(name) <= _LONGEST_NAME:
        raise option_error(
            f"Invalid {what} name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed",
            f"{name!r} is too short: at least two characters"
            if len(name) < shortest
            else f"{shortest} to {_LONGEST_NAME} characters, the first a letter or digit",
        )
    return name


def csv_fields(text: str, flag: str) -> list[str]:
    """Parse the argument of an option that is one line of CSV, as --mount and --network have it."""
    try:
        (row,) = csv.reader([text], strict=True) if text else ([],)
    except (csv.Error, ValueError) as error:
        raise invalid_argument(text, flag, str(error) or "more than one line") from None
    return row


def check_hostname(name: str) -> str:
    """Check --hostname and return it."""
    if not _HOSTNAME.match(name):
        raise option_error(f"invalid hostname format: {name}", "at most 64 letters, digits, - and .")
    return name


def is_link_name(text: str) -> bool:
    """Return whether a network interface of a container may have this name (dev_valid_name() of Linux)."""
    return (
        0 < len(os.fsencode(text)) < 16
        and text not in (".", "..", "lo", "all", "default")
        and not any(char in "/:%\0" or char.isspace() for char in text)
    )


def parse_bytes(text: str, option: str = "--memory") -> int:
    """Parse a size such as `64m`, `1.5g` or `512KiB`. Return bytes. As in Docker, all units are powers of 1024."""
    match = _SIZE.match(text)
    if not match:
        raise option_error(
            f'invalid argument "{text}" for {option}: invalid size', "a number and b, k, m or g, such as 64m"
        )
    power = "kmgtp".index(match[2].lower()) + 1 if match[2] else 0
    size = _scaled(match[1], 1 << 10 * power)
    if size > MAX_INT64:
        raise option_error(f'invalid argument "{text}" for {option}: too large')
    return size


def _scaled(number: str, factor: int) -> int:
    """Multiply exactly, where a float would round: 8388607.999t is not 8388608t."""
    whole, _, fraction = number.partition(".")
    return int(whole or "0") * factor + int(fraction or "0") * factor // int("1".ljust(len(fraction) + 1, "0"))


def find_duration(text: str) -> float | None:
    """Parse one of Go's durations, such as 1m30s, 1.5h or 300ms. Return seconds, or None if it is not one.

    https://pkg.go.dev/time#ParseDuration
    """
    if text == "0":
        return 0.0
    position, seconds = 0, 0.0
    while position < len(text) and (match := _PART.match(text, position)):
        seconds += float(match[1]) * _SECONDS[match[2]]
        position = match.end()
    return seconds if text and position == len(text) else None


def parse_duration(text: str, flag: str) -> float:
    """Parse the duration that the option --`flag` was given. Return seconds."""
    seconds = find_duration(text)
    if seconds is None:
        if text and text.isascii() and text.replace(".", "", 1).isdigit():
            raise invalid_argument(text, flag, f'time: missing unit in duration "{text}"', "such as 30s or 1m30s")
        raise invalid_argument(text, flag, f'time: invalid duration "{text}"', "such as 30s or 1m30s")
    return seconds


def parse_signal(text: str) -> int:
    """Parse a signal's name, with or without SIG, or its number. Return the number. For SIGRTMIN+3 see signal(7)."""
    name = text.upper().removeprefix("SIG")
    if text.isascii() and text.isdigit():
        number = int(text[:3])
    elif match := _REAL_TIME.match(name):
        offset = int(match[2] or match[3] or 0)
        number = signal.SIGRTMIN + offset if match[1] == "RTMIN" else signal.SIGRTMAX - offset
        number = number if signal.SIGRTMIN <= number <= signal.SIGRTMAX else 0
    else:
        member = signal.Signals.__members__.get(f"SIG{name}")
        number = member.value if member else 0
    if not 0 < number < signal.NSIG:
        raise MinirunError(f"Invalid signal: {text}")
    return number


def timestamp(nanoseconds: int) -> str:
    """Format a time since the epoch as RFC 3339 in UTC with nine digits, as `docker logs -t` prints it."""
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{rest:09d}Z"


def parse_with(kind: type[T], text: str, what: str) -> T:
    """Parse an address or a subnet by its class, which raises ValueError. `what`: its name in errors."""
    try:
        return kind(text)  # type: ignore[call-arg]
    except ValueError as error:
        raise option_error(f"invalid {what} {text}: {error}") from None
