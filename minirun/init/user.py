"""Resolving --user by the image's /etc/passwd and /etc/group, which are read as hostile files (passwd(5), group(5)).

The C library's own look-up would load code from the image (nsswitch.conf, libnss_*.so), hence a parser of our own.
"""

import os
import stat
from dataclasses import dataclass

from minirun.kernel.own_ids import OWN_IDS

_LARGEST = 1 << 20
_MOST_ID = 0x7FFFFFFF
_MOST_DIGITS = 10


class UserError(Exception):
    """--user or --group-add names no user or group."""


@dataclass(frozen=True)
class User:
    """Whom the program runs as: ids, supplementary groups, home directory."""

    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str


def resolve(wanted: str, more_groups: tuple[str, ...] = ()) -> User:
    """Resolve --user and --group-add inside the container's root. UserError when one of them is unknown.

    `wanted` is "" (root), "name" or "uid", optionally with ":group" or ":gid".
    """
    name, _, group = wanted.partition(":")
    passwd = _entries("/etc/passwd", 7)
    groups = _entries("/etc/group", 4)
    entry = _find(passwd, name or "0")
    if entry is None and not _is_id(name or "0"):
        raise UserError(f"unable to find user {name}: no matching entries in passwd file")
    uid = _number(entry[2] if entry else name or "0")
    gid = _number(entry[3]) if entry else 0
    added = tuple(_group(groups, more) for more in more_groups)
    if group:
        return User(uid, _group(groups, group), added, _home(entry))
    named = (_number(line[2]) for line in groups if entry and entry[0] in line[3].split(","))
    member_of = filter(OWN_IDS.has_group, named)  # in a lab there may be root's alone
    return User(uid, gid, tuple(dict.fromkeys((*member_of, *added))), _home(entry))


def _group(groups: list[list[str]], wanted: str) -> int:
    entry = _find(groups, wanted)
    if entry is None and not _is_id(wanted):
        raise UserError(f"unable to find group {wanted}: no matching entries in group file")
    return _number(entry[2] if entry else wanted)


def _find(entries: list[list[str]], wanted: str) -> list[str] | None:
    """Find an entry by id or name. A number is always an id, never a user named "1000" or "-5" (CVE-2016-3697).

    UserError when it is out of range.
    """
    if _is_id(wanted):
        number = _number(wanted)
        return next((entry for entry in entries if len(entry[2]) <= _MOST_DIGITS and int(entry[2]) == number), None)
    return next((entry for entry in entries if entry[0] == wanted), None)


def _home(entry: list[str] | None) -> str:
    return entry[5] if entry and entry[5].startswith("/") else "/"


def _is_id(text: str) -> bool:
    """Whether it is meant as a number: with a sign, too, which `_number` refuses."""
    return _is_number(text[1:] if text[:1] in ("+", "-") else text)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _number(text: str) -> int:
    if not _is_number(text) or len(text) > _MOST_DIGITS or int(text) > _MOST_ID:
        raise UserError(f"uids and gids must be in range 0-{_MOST_ID}, not {text!r}")
    return int(text)


def _entries(path: str, columns: int) -> list[list[str]]:
    """Read a colon-separated file; [] unless it is a regular file (CVE-2024-9676: a FIFO would hang)."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return []
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            return []
        if status.st_size > _LARGEST:
            raise UserError(f"{path} of the image is larger than {_LARGEST} bytes")
        text = os.read(fd, _LARGEST).decode("utf-8", "surrogateescape")
    finally:
        os.close(fd)
    lines = (line.split(":") for line in text.split("\n"))
    return [line for line in lines if len(line) >= columns and _is_number(line[2])]
