"""The process that the fork server has forked for a command before it came (forkserver/ahead.py), and who takes it.

It becomes the shim of a start, or the helper of an exec: whatever the command needs first. Its roles are functions that
live on a descriptor; `live` is told which.
"""

import fcntl
import os
from collections.abc import Callable, Mapping
from contextlib import suppress

from minirun.forkserver.ahead import ForkedAhead
from minirun.kernel import seam

SHIM, EXEC = b"s", b"e"
_offered: ForkedAhead | None = None


def offer(ahead: ForkedAhead) -> None:
    """Have `claim` return this process."""
    global _offered
    _offered = ahead


def decline() -> None:
    """Let it end. For a command that forks others: each would take it for its own."""
    global _offered
    if _offered is not None:
        os.close(_offered.channel)
        _offered = None


def claim(role: bytes) -> tuple[int, int] | None:
    """Take it: it becomes what this process is, and then lives in that role, on the other end of a channel.

    Returns its pid and the descriptor of the channel; None when there is none. It is a child of the caller, as if this
    had forked it. Watchers would not see what it does, so while there is one it is not taken.
    """
    global _offered
    ahead, _offered = _offered, None
    if ahead is None or seam.is_watched():
        return None
    with suppress(ConnectionError):
        ahead.claim()
        channel = fcntl.fcntl(ahead.channel, fcntl.F_DUPFD_CLOEXEC, 0)  # the number that it would have had
        os.close(ahead.channel)
        os.write(channel, role)
        return ahead.pid, channel
    return None


def live(roles: Mapping[bytes, Callable[[int], None]], fd: int) -> None:
    """In the process: live in the role that is asked for on the channel `fd`; none at its end."""
    role = os.read(fd, 1)
    if role:
        roles[role](fd)
