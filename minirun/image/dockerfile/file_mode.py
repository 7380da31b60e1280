"""COPY --chmod: octal, or symbolic as in chmod(1), such as u=rwX,go=rX.

https://docs.docker.com/reference/dockerfile/#copy---chown---chmod
"""

import re
import stat
from dataclasses import dataclass

from minirun.errors import MinirunError

_CLAUSE = re.compile(r"([ugoa]*)((?:[-+=][rwxXst]*|[-+=][ugo])+)\Z")
_ACTION = re.compile(r"([-+=])([ugo](?=[-+=]|\Z)|[rwxXst]*)")
_SHIFTS = {"u": 6, "g": 3, "o": 0}


@dataclass(frozen=True)
class ModeChange:
    """A value of --chmod that is known to be right."""

    text: str

    def apply(self, mode: int, is_directory: bool) -> int:
        """Return the permission bits that a file with the permission bits `mode` gets."""
        if self.text.isdigit():
            return int(self.text, 8)
        for clause in self.text.split(","):
            match = _CLAUSE.match(clause)
            if match:
                mode = _apply(mode, match[1].replace("a", "ugo") or "ugo", match[2], is_directory)
        return mode


def parse_mode(text: str) -> ModeChange:
    """Check a value of --chmod and return it. MinirunError when it is neither octal nor symbolic."""
    if text.isascii() and text.isdigit():
        if set(text) - set("01234567") or len(text) > 20 or int(text, 8) > 0o7777:
            raise MinirunError(f"invalid chmod parameter: '{text}'. it should be octal string and between 0 and 07777")
    elif not all(map(_CLAUSE.match, text.split(","))):
        raise MinirunError(f"invalid chmod parameter: '{text}'", "such as 755 or u=rwX,go=rX")
    return ModeChange(text)


def _apply(mode: int, who: str, actions: str, is_directory: bool) -> int:
    for operator, permissions in _ACTION.findall(actions):
        bits = 0
        for name in set(who):
            bits |= _bits(mode, permissions, name, is_directory) << _SHIFTS[name]
        if "s" in permissions:
            bits |= (stat.S_ISUID if "u" in who else 0) | (stat.S_ISGID if "g" in who else 0)
        bits |= stat.S_ISVTX if "t" in permissions else 0
        if operator == "=":
            cleared = sum(0o7 << _SHIFTS[name] for name in set(who))
            cleared |= 0 if is_directory else (stat.S_ISUID if "u" in who else 0) | (stat.S_ISGID if "g" in who else 0)
            mode = mode & ~cleared | bits
        else:
            mode = mode | bits if operator == "+" else mode & ~bits
    return mode


def _bits(mode: int, permissions: str, name: str, is_directory: bool) -> int:
    """Return the rwx bits that some permissions mean for the user, the group or the others."""
    if permissions in _SHIFTS and permissions:
        return mode >> _SHIFTS[permissions] & 0o7
    executes = "x" in permissions or ("X" in permissions and (is_directory or mode & 0o111))
    return 4 * ("r" in permissions) | 2 * ("w" in permissions) | bool(executes)
