"""Moments as docker takes them in --since and --until, turned into the stamps that logs and events carry."""

import re
import time
from datetime import UTC, datetime

from minirun.errors import MinirunError
from minirun.options.values import find_duration, timestamp

_FORMS = ("%Y-%m-%dT%H:%M:%S.%f", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d")


def moment(text: str) -> str:
    """A date in RFC 3339 (without a zone: the local one), seconds since the epoch, or a Go duration before now.

    A negative duration is in the future.
    """
    sign = -1 if text.startswith("-") else 1
    seconds_ago = find_duration(text[1:] if text[:1] in ("-", "+") else text)
    if seconds_ago is not None and text.lstrip("+-") != "0":
        return timestamp(max(0, time.time_ns() - sign * int(seconds_ago * 1e9)))
    if re.fullmatch(r"\d{1,11}(\.\d{1,9})?", text):
        seconds, _, rest = text.partition(".")
        return timestamp(int(seconds) * 10**9 + int(rest.ljust(9, "0") or 0))
    return timestamp(_date(text))


def _date(text: str) -> int:
    body, zone = re.fullmatch(r"(.*?)(Z|[+-]\d\d:\d\d)?", text, re.DOTALL).groups()  # type: ignore[union-attr]
    whole, _, fraction = body.partition(".")
    for form in _FORMS:
        try:
            found = datetime.strptime(whole, form)
            if zone:
                offset = datetime.fromisoformat(f"2000-01-01T00:00:00{'+00:00' if zone == 'Z' else zone}").utcoffset()
                found = found.replace(tzinfo=UTC) - (offset or datetime.min - datetime.min)
            return int(found.timestamp()) * 10**9 + int(fraction[:9].ljust(9, "0") or 0)
        except (ValueError, OverflowError, OSError):
            continue
    raise MinirunError(f'invalid value for time: "{text}"', "such as 2026-11-24T10:00:00Z, 1795514400 or 42m")
