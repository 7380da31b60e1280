"""One turn of an event loop, for whoever carries streams: the monitor, an attached command, exec.

What is waited for is said anew each turn, because it depends on what could not be written yet; nothing is
registered that could be forgotten.
"""

import select
from collections.abc import Callable, Iterable
from typing import Protocol

READ, WRITE = select.POLLIN, select.POLLOUT
_TROUBLE = select.POLLHUP | select.POLLERR | select.POLLNVAL
Interest = tuple[int, int, Callable[[], None]]  # descriptor, READ or WRITE, what to do then


def turn(interests: Iterable[Interest], seconds: float | None = None) -> bool:
    """Wait until something is ready, `seconds` at most, and do what is to be done then. False when nothing was."""
    wanted: dict[int, list[tuple[int, Callable[[], None]]]] = {}
    for fd, mask, call in interests:
        wanted.setdefault(fd, []).append((mask, call))
    poll = select.poll()
    for fd, calls in wanted.items():
        mask = 0
        for one, _ in calls:
            mask |= one
        poll.register(fd, mask)
    # Rounded up: with 0 for the last fraction of a millisecond the loop would spin through it.
    ready = poll.poll(None if seconds is None else max(0, int(seconds * 1000 + 0.999)))
    for fd, found in ready:
        for mask, call in wanted[fd]:
            if found & (mask | _TROUBLE):
                call()
    return bool(ready)


class Part(Protocol):
    """Something that lives in a loop together with others, so it may never block."""

    def interests(self) -> Iterable[Interest]:
        """Said anew each turn."""

    def due(self) -> float | None:
        """Seconds until `tick` wants to be called, at the latest; None: no wish."""

    def tick(self) -> None:
        """Called after each turn."""


def turn_parts(parts: Iterable[Part], interests: Iterable[Interest] = (), seconds: float | None = None) -> bool:
    """One turn of all of them, and of the other interests. False when nothing was ready."""
    parts = list(parts)
    wishes = [wish for part in parts if (wish := part.due()) is not None]
    if seconds is not None:
        wishes.append(seconds)
    happened = turn((*interests, *(one for part in parts for one in part.interests())), min(wishes, default=None))
    for part in parts:
        part.tick()
    return happened


def is_ready(fd: int) -> bool:
    """Whether a read would give something, or the end, at once."""
    return bool(select.select([fd], [], [], 0)[0])


def wait_writable(fd: int) -> None:
    """Wait until a write would not block."""
    select.select([], [fd], [])
