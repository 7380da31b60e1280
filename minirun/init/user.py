"""Who the program runs as: --user against the image's /etc/passwd and /etc/group, read as the hostile files they are.

The C library's own look-up would load code from the image (nsswitch.conf, libnss_*.so); this is a parser of our own.
"""

import os
import stat
from dataclasses import dataclass

_LARGEST = 1 << 20
_MOST_ID = 0x7FFFFFFF


class UserError(Exception):
    """--user names nobody."""


@dataclass(frozen=True)
class User:
    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str


def resolve(wanted: str, more_groups: tuple[str, ...] = ()) -> User:
    """`wanted` is "", "name", "uid", and either with ":group" or ":gid". Called inside the container's root."""
    name, _, group = wanted.partition(":")
    passwd = _entries("/etc/passwd", 7)
    groups = _entries("/etc/group", 4)
    entry = _find(passwd, name or "0")
    if entry is None and not _is_number(name or "0"):
        raise UserError(f"unable to find user {name}: no matching entries in passwd file")
    uid = _number(entry[2] if entry else name or "0")
    gid = _number(entry[3]) if entry else 0
    added = tuple(_group(groups, more) for more in more_groups)
    if group:
        return User(uid, _group(groups, group), added, _home(entry))
    member_of = tuple(_number(line[2]) for line in groups if entry and entry[0] in line[3].split(","))
    return User(uid, gid, tuple(dict.fromkeys((*member_of, *added))), _home(entry))


def _group(groups: list[list[str]], wanted: str) -> int:
    entry = _find(groups, wanted)
    if entry is None and not _is_number(wanted):
        raise UserError(f"unable to find group {wanted}: no matching entries in group file")
    return _number(entry[2] if entry else wanted)


def _find(entries: list[list[str]], wanted: str) -> list[str] | None:
    """A number is always an id, never the name of somebody who is called 1000 (CVE-2016-3697)."""
    column = 2 if _is_number(wanted) else 0
    return next((entry for entry in entries if entry[column] == wanted), None)


def _home(entry: list[str] | None) -> str:
    return entry[5] if entry and entry[5].startswith("/") else "/"


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _number(text: str) -> int:
    if not _is_number(text) or len(text) > 10 or int(text) > _MOST_ID:
        raise UserError(f"uids and gids must be in range 0-{_MOST_ID}, not {text!r}")
    return int(text)


def _entries(path: str, columns: int) -> list[list[str]]:
    """Lines of a colon-separated file: a regular one of sane size, or none at all (CVE-2024-9676: a FIFO hangs)."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return []
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            return []
        if found.st_size > _LARGEST:
            raise UserError(f"{path} of the image is larger than {_LARGEST} bytes")
        text = os.read(fd, _LARGEST).decode("utf-8", "surrogateescape")
    finally:
        os.close(fd)
    lines = (line.split(":") for line in text.split("\n"))
    return [line for line in lines if len(line) >= columns and _is_number(line[2])]
