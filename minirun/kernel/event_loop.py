"""One turn of an event loop, for processes that forward streams: the shim, an attached command, exec.

The interests are stated anew each turn, because they depend on what could not be written yet; nothing is registered
that could be forgotten.
"""

import select
from collections.abc import Callable, Iterable
from typing import Protocol

READ, WRITE = select.POLLIN, select.POLLOUT
_ERRORS = select.POLLHUP | select.POLLERR | select.POLLNVAL
Interest = tuple[int, int, Callable[[], None]]  # descriptor, READ or WRITE, what to do then


def turn(interests: Iterable[Interest], seconds: float | None = None) -> bool:
    """Wait until something is ready, `seconds` at most, and call its callbacks. Return whether anything was."""
    wanted: dict[int, list[tuple[int, Callable[[], None]]]] = {}
    for fd, mask, call in interests:
        wanted.setdefault(fd, []).append((mask, call))
    poll = select.poll()
    for fd, calls in wanted.items():
        mask = 0
        for events, _ in calls:
            mask |= events
        poll.register(fd, mask)
    # Rounded up: with 0 for the last fraction of a millisecond the loop would spin through it.
    ready = poll.poll(None if seconds is None else max(0, int(seconds * 1000 + 0.999)))
    for fd, events in ready:
        for mask, call in wanted[fd]:
            if events & (mask | _ERRORS):
                call()
    return bool(ready)


class Part(Protocol):
    """Something that shares a loop with others, so it may never block."""

    def interests(self) -> Iterable[Interest]:
        """What to wait for in the next turn."""

    def due(self) -> float | None:
        """Seconds until `tick` must be called at the latest; None: no deadline."""

    def tick(self) -> None:
        """Called after each turn."""


def turn_parts(parts: Iterable[Part], interests: Iterable[Interest] = (), seconds: float | None = None) -> bool:
    """One turn of all parts, and of the other interests. Return whether anything was ready."""
    parts = list(parts)
    deadlines = [due for part in parts if (due := part.due()) is not None]
    if seconds is not None:
        deadlines.append(seconds)
    happened = turn(
        (*interests, *(interest for part in parts for interest in part.interests())), min(deadlines, default=None)
    )
    for part in parts:
        part.tick()
    return happened


def is_ready(fd: int) -> bool:
    """Return whether a read would return data, or the end of file, at once."""
    return bool(select.select([fd], [], [], 0)[0])


def wait_writable(fd: int) -> None:
    """Wait until a write would not block."""
    select.select([], [fd], [])
