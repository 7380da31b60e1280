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
    """Part of the event loop. It has a connection only while the container is in a network with names (`is_wanted`).

    `instance` returns the instance that is open at that moment, `fd` is the connection so far.
    """

    def __init__(self, instance: Callable[[], Instance], fd: int | None) -> None:
        self._instance = instance
        self._channel = None if fd is None else socket.socket(fileno=fd)
        self.is_wanted = fd is not None
        self._since = self._next = time.monotonic()
        self._delay = 0.0

    @property
    def fd(self) -> int | None:
        """The connection's descriptor; None while there is none."""
        return None if self._channel is None else self._channel.fileno()

    @property
    def is_lost(self) -> bool:
        """Whether the connection is wanted, but broken."""
        return self.is_wanted and self._channel is None

    def renew(self, container: str) -> None:
        """Open or close the connection, as the networks of the container have changed."""
        has_names = operations.has_names(self._instance(), container)
        if not has_names:
            self.close()
        elif not self.is_wanted:
            self.is_wanted, self._next = True, time.monotonic()

    def close(self) -> None:
        """Close the connection for good."""
        self.is_wanted = False
        if self._channel is not None:
            self._channel.close()
            self._channel = None

    def interests(self) -> Iterator[Interest]:
        """What the event loop is to wait for now."""
        if self._channel is not None:
            yield self._channel.fileno(), READ, self._on_end

    def due(self) -> float | None:
        """Seconds until `tick` is due; None while nothing is to be done."""
        return None if not self.is_lost else max(0.0, self._next - time.monotonic())

    def tick(self) -> None:
        """Reconnect if it is time. Every shim does so: the first starts the server, the others find it running."""
        if not self.is_lost or time.monotonic() < self._next:
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
