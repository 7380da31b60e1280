"""The monitor's share in the resolver: its connection keeps that alive, and when it breaks, starts it again."""

import socket
import time
from collections.abc import Callable, Iterator

from minirun.instance import Instance
from minirun.kernel.event_loop import READ, Interest
from minirun.network import operations

_FIRST, _LONGEST = 0.1, 60.0
_STEADY = 10.0  # seconds after which the next death counts as the first


class ResolverKeeper:
    """`instance` gives the one that is open at the moment."""

    def __init__(self, instance: Callable[[], Instance], channel: socket.socket | None) -> None:
        self._instance = instance
        self._channel = channel
        self._since = self._next = time.monotonic()
        self._delay = 0.0

    @property
    def channel(self) -> int:
        """Its descriptor; -1 while the connection is broken."""
        return -1 if self._channel is None else self._channel.fileno()

    def close(self) -> None:
        if self._channel is not None:
            self._channel.close()

    def interests(self) -> Iterator[Interest]:
        if self._channel is not None:
            yield self._channel.fileno(), READ, self._hear

    def due(self) -> float | None:
        """Seconds until `tick` wants to be called; None: no wish."""
        return None if self._channel is not None else max(0.0, self._next - time.monotonic())

    def tick(self) -> None:
        """Everyone who has lost it comes here; the first starts it, the others find it there."""
        if self._channel is not None or time.monotonic() < self._next:
            return
        try:
            self._channel = operations.dns_connection(self._instance())
            self._since = time.monotonic()
        except OSError:
            self._put_off()

    def _hear(self) -> None:
        """It never says anything: this is the end."""
        if self._channel is None:
            return
        self._channel.close()
        self._channel = None
        if time.monotonic() - self._since >= _STEADY:
            self._delay = 0.0
        self._put_off()

    def _put_off(self) -> None:
        """At once for the first time, then later and later."""
        self._next = time.monotonic() + self._delay
        self._delay = min(max(2 * self._delay, _FIRST), _LONGEST)
