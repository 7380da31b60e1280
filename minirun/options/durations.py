"""Go's durations (https://pkg.go.dev/time#ParseDuration): 1m30s, 1.5h, 300ms; and timestamps."""

import re
import time

from minirun.options import invalid

_PART = re.compile(r"([0-9]{1,18}(?:\.[0-9]{0,9})?|\.[0-9]{1,9})(ns|us|µs|ms|s|m|h)")
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def find_duration(text: str) -> float | None:
    """Seconds; None when it is no duration."""
    if text == "0":
        return 0.0
    at, seconds = 0, 0.0
    while at < len(text) and (match := _PART.match(text, at)):
        seconds += float(match[1]) * _SECONDS[match[2]]
        at = match.end()
    return seconds if text and at == len(text) else None


def parse_duration(text: str, flag: str) -> float:
    """Seconds."""
    seconds = find_duration(text)
    if seconds is None:
        if text and text.isascii() and text.replace(".", "", 1).isdigit():
            raise invalid(text, flag, f'time: missing unit in duration "{text}"', "such as 30s or 1m30s")
        raise invalid(text, flag, f'time: invalid duration "{text}"', "such as 30s or 1m30s")
    return seconds


def timestamp(nanoseconds: int) -> str:
    """Format a time since the epoch as RFC 3339 in UTC with nine digits, as `docker logs -t` prints it."""
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{rest:09d}Z"
