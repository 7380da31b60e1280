"""The ids of the user namespace that this process lives in (user_namespaces(7)): which there are, what can be set.

On a host there are all of them. In a lab of an ordinary user there may be a single one, which is root there. Read
once, on import: in a container's root /proc is the container's. (Modules that the start of a lab imports have no
dataclasses, whose import takes as long as Python's own start.)
"""

import os
from pathlib import Path
from typing import NamedTuple

_FIRST_NAMESPACE = 0xEFFFFFFD  # PROC_USER_INIT_INO of linux/proc_ns.h
_ALL = 0xFFFFFFFF
SINGLE = (
    "root is the only user of this lab; more take newuidmap (package uidmap) and lines for the lab's owner in"
    " /etc/subuid and /etc/subgid"
)


class OwnIds(NamedTuple):
    """What /proc says of the namespace.

    is_first: it is the first user namespace of the machine, so root is the machine's root
    uids, gids: ranges of ids that exist, as (first, count)
    may_set_groups: setgroups(2) is allowed
    """

    is_first: bool
    uids: tuple[tuple[int, int], ...]
    gids: tuple[tuple[int, int], ...]
    may_set_groups: bool

    @property
    def is_single(self) -> bool:
        """Whether root is the only user."""
        return sum(count for _, count in self.uids) == 1

    def has_user(self, uid: int) -> bool:
        """Whether a file or process can belong to this user."""
        return any(first <= uid < first + count for first, count in self.uids)

    def has_group(self, gid: int) -> bool:
        """Whether a file or process can belong to this group."""
        return any(first <= gid < first + count for first, count in self.gids)

    @property
    def last_group(self) -> int:
        """The highest group id."""
        return max(first + count - 1 for first, count in self.gids)

    def owner(self, uid: int, gid: int) -> tuple[int, int]:
        """The ids that a file of these gets: root takes the place of what does not exist."""
        return uid if self.has_user(uid) else 0, gid if self.has_group(gid) else 0


def read_own_ids() -> OwnIds:
    """Read them from /proc/self."""
    try:
        is_first = os.stat("/proc/self/ns/user").st_ino == _FIRST_NAMESPACE
    except FileNotFoundError:  # a kernel without user namespaces
        is_first = True
    return OwnIds(is_first, _ranges("uid_map"), _ranges("gid_map"), _text("setgroups", "allow") == "allow")


def _ranges(name: str) -> tuple[tuple[int, int], ...]:
    lines = (line.split() for line in _text(name, f"0 0 {_ALL}").splitlines())
    return tuple((int(first), int(count)) for first, _, count in lines)


def _text(name: str, default: str) -> str:
    try:
        return Path("/proc/self", name).read_text().strip()
    except FileNotFoundError:
        return default


OWN_IDS = read_own_ids()
# The extended attributes by which overlayfs marks directories. Only the first namespace's root may write trusted ones.
OVERLAY_MARKS = "trusted.overlay." if OWN_IDS.is_first else "user.overlay."
