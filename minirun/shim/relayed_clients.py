"""The clients of relayed ports (port_relay.py): TCP streams and UDP flows, each with a socket towards the container."""

import select
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from ipaddress import IPv6Address
from typing import Protocol

CHUNK = 65536  # bytes; no datagram is longer
BATCH = 64  # datagrams or clients before others have their turn
_FLOW_SECONDS = 90.0  # without a datagram: docker-proxy's
_RESET = b"\x01\0\0\0\0\0\0\0"  # struct linger, socket(7): closing sends RST
IN, OUT = select.EPOLLIN, select.EPOLLOUT
Target = tuple[str, int]


class Watches(Protocol):
    """What a stream asks of the relay that it belongs to."""

    def watch(self, fd: int, mask: int, call: Callable[[int], None]) -> None:
        """Call `call` with the events when `fd` is ready; a second time for another `mask`."""

    def unwatch(self, fd: int) -> None:
        """Wait for `fd` no more; it need not be watched."""

    def forget(self, stream: "Stream") -> None:
        """A stream has ended: its sockets are about to be closed."""


class Flow:
    """One UDP client: a socket of its own towards the container, whose replies go back to it."""

    def __init__(self, listener: socket.socket, target: Target, local: bytes, client: object) -> None:
        self._listener = listener
        self._client = client
        is_local = bool(local) and IPv6Address(local[:16]).is_link_local
        # From the address that the client has sent to; of a link-local one by the same interface.
        self._from = [(socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, local if is_local else local[:16] + bytes(4))]
        self.channel = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
        with suppress(OSError):
            self.channel.connect(target)
        self.deadline = time.monotonic() + _FLOW_SECONDS

    def send(self, data: bytes) -> None:
        """Pass a client's datagram on; one that cannot be sent is lost, as datagrams are."""
        self.deadline = time.monotonic() + _FLOW_SECONDS
        with suppress(OSError):
            self.channel.send(data)

    def reply(self, _: int) -> None:
        """Pass the container's datagrams back."""
        for _ in range(BATCH):
            with suppress(ConnectionRefusedError):  # an error report, which is read first
                try:
                    data = self.channel.recv(CHUNK)
                except BlockingIOError:
                    return
                with suppress(OSError):
                    self._listener.sendmsg([data], self._from, 0, self._client)  # type: ignore[arg-type]


class Stream:
    """One TCP client and its connection to the container."""

    def __init__(self, relay: Watches, client: socket.socket, target: Target) -> None:
        self._relay = relay
        channel = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        self.ends = (client, channel)
        for end in self.ends:
            end.setblocking(False)
        self._pending = [b"", b""]  # what is to be written to each end
        self._has_ended = [False, False]  # whether each end has sent all it will
        self._is_connected = False
        with suppress(OSError):  # it is under way, or will be found to have failed
            channel.connect(target)
        self._watch()

    def close(self) -> None:
        """Close both ends."""
        self._relay.forget(self)
        for end in self.ends:
            end.close()

    def _watch(self) -> None:
        """An end is read when the other has taken all; the container's is first waited for until it is connected."""
        for number, end in enumerate(self.ends):
            other = 1 - number
            can_read = self._is_connected and not self._has_ended[number] and not self._pending[other]
            must_write = self._pending[number] or (number == 1 and not self._is_connected)
            mask = (IN if can_read else 0) | (OUT if must_write else 0)
            if mask:
                self._relay.watch(end.fileno(), mask, lambda events, number=number: self._on_ready(number, events))  # type: ignore[misc]
            else:  # epoll would report a closed connection over and over
                self._relay.unwatch(end.fileno())

    def _on_ready(self, number: int, events: int) -> None:
        try:
            if number == 1 and not self._is_connected:
                self._finish_connecting()
            elif events & OUT:
                self._write(number)
            else:
                self._read(number)
        except BlockingIOError:
            pass
        except OSError:
            with suppress(OSError):  # the other end learns that it broke, as it would without a relay
                self.ends[0].setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self.close()
            return
        if all(self._has_ended) and not any(self._pending):
            self.close()
        else:
            self._watch()

    def _finish_connecting(self) -> None:
        if error := self.ends[1].getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            raise OSError(error, "connect")
        self._is_connected = True

    def _read(self, number: int) -> None:
        other = 1 - number
        if self._pending[other]:  # there is no room for more: it was reported because it is broken
            raise ConnectionResetError
        data = self.ends[number].recv(CHUNK)
        if data:
            self._pending[other] = data
            self._write(other)
        else:
            self._has_ended[number] = True
            self.ends[other].shutdown(socket.SHUT_WR)

    def _write(self, number: int) -> None:
        self._pending[number] = self._pending[number][self.ends[number].send(self._pending[number]) :]
