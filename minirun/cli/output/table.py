"""Columns as docker prints them, headers in capitals; and its words for spans of time."""

import time
from collections.abc import Sequence

from minirun.errors import printable

_GAP = 3


def print_table(headers: Sequence[str], rows: Sequence[Sequence[str]], least: int = 10) -> None:
    """`least`: how wide a column is with the gap behind it, however short its cells."""
    cells = [list(headers), *([printable(cell) for cell in row] for row in rows)]
    widths = [max(least, _GAP + max(len(row[column]) for row in cells)) for column in range(len(headers))]
    for row in cells:
        print("".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def ago(then: float) -> str:
    """How long ago a moment was: seconds since the epoch."""
    return f"{span(time.time() - then)} ago"


def local_time(moment: float) -> str:
    """As Go prints a moment of whole seconds: 2026-11-28 17:23:28 +0000 UTC"""
    return time.strftime("%Y-%m-%d %H:%M:%S %z %Z", time.localtime(moment))


def span(seconds: float) -> str:
    """As go-units' HumanDuration words it."""
    whole = int(seconds)
    if whole < 1:
        return "Less than a second"
    if whole == 1:
        return "1 second"
    for limit, size, unit in (
        (60, 1, "second"),
        (3600, 60, "minute"),
        (48 * 3600, 3600, "hour"),
        (14 * 86400, 86400, "day"),
        (60 * 86400, 7 * 86400, "week"),
        (2 * 365 * 86400, 30 * 86400, "month"),
    ):
        if whole < limit:
            return _some(whole // size, unit)
    return _some(whole // (365 * 86400), "year")


def _some(count: int, unit: str) -> str:
    if count == 1 and unit in ("minute", "hour"):
        return f"About {'an' if unit == 'hour' else 'a'} {unit}"
    return f"{count} {unit}{'' if count == 1 else 's'}"


def size(number: float, digits: int = 3) -> str:
    """As go-units' HumanSize words it, which docker calls with 4 digits for totals and 3 in columns."""
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.{digits}g}{unit}"
        number /= 1000
    return f"{number:.{digits}g}TB"


def binary_size(number: float) -> str:
    """As go-units' BytesSize: 12.5MiB."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if number < 1024:
            return f"{number:.4g}{unit}"
        number /= 1024
    return f"{number:.4g}TiB"
