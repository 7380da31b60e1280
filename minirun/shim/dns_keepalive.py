"""The shim's connection to the DNS server. The server lives as long as it has connections; a lost one restarts it."""

import socket
import time
from collections.abc import Callable, Iterator

from minirun.instance import Instance
from minirun.kernel.event_loop import READ, Interest
from minirun.network import operations

_FIRST_DELAY, _MAX_DELAY = 0.1, 60.0  # seconds
_STABLE = 10.0  # seconds of a connection after which the delay starts anew


class DnsKeepalive:
    """Part of the event loop. `instance` returns the instance that is open at that moment."""

    def __init__(self, instance: Callable[[], Instance], channel: socket.socket | None) -> None:
        self._instance = instance
        self._channel = channel
        self._since = self._next = time.monotonic()
        self._delay = 0.0

    @property
    def channel(self) -> int:
        """The connection's descriptor; -1 while there is none."""
        return -1 if self._channel is None else self._channel.fileno()

    def close(self) -> None:
        """Close the connection."""
        if self._channel is not None:
            self._channel.close()

    def interests(self) -> Iterator[Interest]:
        """What the event loop is to wait for now."""
        if self._channel is not None:
            yield self._channel.fileno(), READ, self._on_end

    def due(self) -> float | None:
        """Seconds until `tick` is due; None while connected."""
        return None if self._channel is not None else max(0.0, self._next - time.monotonic())

    def tick(self) -> None:
        """Reconnect if it is time. Every shim does so: the first starts the server, the others find it running."""
        if self._channel is not None or time.monotonic() < self._next:
            return
        try:
            self._channel = operations.dns_connection(self._instance())
            self._since = time.monotonic()
        except OSError:
            self._schedule()

    def _on_end(self) -> None:
        """The server sends nothing, so anything to read is the end of the connection."""
        if self._channel is None:
            return
        self._channel.close()
        self._channel = None
        if time.monotonic() - self._since >= _STABLE:
            self._delay = 0.0
        self._schedule()

    def _schedule(self) -> None:
        """At once the first time, then after growing delays."""
        self._next = time.monotonic() + self._delay
        self._delay = min(max(2 * self._delay, _FIRST_DELAY), _MAX_DELAY)
