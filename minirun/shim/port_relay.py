"""IPv6 clients of a container that has only IPv4: their ports are relayed, since the kernel cannot translate them.

A port that is published on an IPv6 address leads to the container's IPv4 address where that is all it has
(`Publication.is_relayed`). The socket that reserves the port then accepts clients, and the shim carries their streams
and datagrams. The container sees the gateway's address, as with Docker's docker-proxy. It costs nothing until a client
comes: the sockets are in an epoll, which wakes the sleeper (idle.py).

A client that reads slowly slows only its own stream down: nothing is read from one side before the other has taken it.
"""

import select
import socket
import time
from collections.abc import Callable, Iterable, Iterator

from minirun.kernel.event_loop import READ, Interest
from minirun.kernel.sockets import port_held, port_open
from minirun.model import Publication
from minirun.shim.relayed_clients import BATCH, CHUNK, IN, Flow, Stream, Target
from minirun.shim.state import State

_MAX_STREAMS = _MAX_FLOWS = 128  # for each container; more clients wait in the queue, or take the oldest flow's place
_PKTINFO_SIZE = 20  # struct in6_pktinfo, ipv6(7): address, interface


class PortRelay:
    """Part of the shim's event loop: the relayed ports of its container, and the clients of each."""

    def __init__(self, state: State, container: str) -> None:
        self._state = state
        self._container = container
        self._events = select.epoll()
        self._ready: dict[int, Callable[[int], None]] = {}  # by descriptor
        self._listeners: dict[int, socket.socket] = {}
        self._streams: set[Stream] = set()
        self._flows: dict[tuple[int, bytes, object], Flow] = {}  # the one that was silent for longest is first
        self._targets: dict[int, Target] = {}
        self._accepts = True

    @property
    def is_used(self) -> bool:
        """Whether clients are connected."""
        return bool(self._streams or self._flows)

    @property
    def fd(self) -> int | None:
        """The descriptor to watch while the shim is idle; None when no port is relayed."""
        return self._events.fileno() if self._listeners else None

    @property
    def targets(self) -> dict[int, tuple[str, int]]:
        """Where the relayed ports lead to, by the descriptors that reserve them: what an idle shim keeps."""
        return dict(self._targets)

    def resume(self, targets: dict[int, tuple[str, int]]) -> None:
        """Relay as before the shim was idle."""
        for fd, (address, port) in targets.items():
            self._open(socket.socket(fileno=fd), (address, port))

    def release(self) -> None:
        """Take no more clients, as the reservations are about to change. Streams that are under way stay."""
        for listener in self._listeners.values():
            self.unwatch(listener.fileno())
            listener.detach()  # the descriptor is the reservation's
        self._listeners, self._targets = {}, {}
        for key in list(self._flows):
            self._drop_flow(key)

    def settle(self, files: Iterable[int]) -> None:
        """Relay what is on record, after `release`: `files` are the sockets that reserve ports."""
        holders = [socket.socket(fileno=fd) for fd in files]
        held = {port_held(holder): holder for holder in holders if holder.family == socket.AF_INET6}
        for publication in self._publications() if held else ():
            mapping = publication.mapping
            for step, port in enumerate(mapping.host_ports if publication.is_relayed else ()):
                if holder := held.get((mapping.protocol, str(mapping.host_address), port)):
                    self._open(holder, (str(publication.target), mapping.container_port + step))
        for holder in holders:
            if holder.fileno() not in self._listeners:
                holder.detach()

    def close(self) -> None:
        """Drop all clients, before the reservations are closed."""
        for stream in list(self._streams):
            stream.close()
        self.release()

    def interests(self) -> Iterator[Interest]:
        """The epoll, while there is anything in it."""
        if self._ready:
            yield self._events.fileno(), READ, self._on_ready

    def due(self) -> float | None:
        """Seconds until the next UDP flow expires."""
        first = next(iter(self._flows.values()), None)
        return None if first is None else max(0.0, first.deadline - time.monotonic())

    def tick(self) -> None:
        """Forget UDP flows that have expired."""
        now = time.monotonic()
        for key, flow in list(self._flows.items()):
            if flow.deadline > now:
                return
            self._drop_flow(key)

    def watch(self, fd: int, mask: int, call: Callable[[int], None]) -> None:
        """Call `call` with the events when `fd` is ready; a second time for another `mask`."""
        if fd in self._ready:
            self._events.modify(fd, mask)
        else:
            self._events.register(fd, mask)
        self._ready[fd] = call

    def unwatch(self, fd: int) -> None:
        """Wait for `fd` no more; it need not be watched."""
        if self._ready.pop(fd, None):
            self._events.unregister(fd)

    def forget(self, stream: Stream) -> None:
        """A stream has ended: its sockets are about to be closed."""
        for end in stream.ends:
            self.unwatch(end.fileno())
        self._streams.discard(stream)
        self._watch_listeners()

    def _publications(self) -> list[Publication]:
        return self._state.retried(lambda: self._state.instance.store.ports(container=self._container))

    def _open(self, holder: socket.socket, target: Target) -> None:
        holder.setblocking(False)
        port_open(holder)
        self._listeners[holder.fileno()], self._targets[holder.fileno()] = holder, target
        if holder.type == socket.SOCK_STREAM:
            self.watch(holder.fileno(), IN, lambda _: self._accept(holder, target))
        else:
            holder.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
            self.watch(holder.fileno(), IN, lambda _: self._receive(holder, target))

    def _watch_listeners(self) -> None:
        """Leave clients in the queue while there is no room for them."""
        has_room = len(self._streams) < _MAX_STREAMS
        if has_room != self._accepts:
            self._accepts = has_room
            for fd, listener in self._listeners.items():
                if listener.type == socket.SOCK_STREAM:
                    self._events.modify(fd, IN if has_room else 0)

    def _on_ready(self) -> None:
        for fd, events in self._events.poll(0):
            if call := self._ready.get(fd):  # an earlier one may have closed it
                call(events)

    def _accept(self, listener: socket.socket, target: Target) -> None:
        for _ in range(min(BATCH, _MAX_STREAMS - len(self._streams))):
            try:
                client, _ = listener.accept()
            except OSError:
                return
            try:
                self._streams.add(Stream(self, client, target))
            except OSError:  # no descriptor is free
                client.close()
        self._watch_listeners()

    def _receive(self, listener: socket.socket, target: Target) -> None:
        for _ in range(BATCH):
            try:
                data, ancillary, _, client = listener.recvmsg(CHUNK, socket.CMSG_SPACE(_PKTINFO_SIZE))
            except OSError:
                return
            local = next((value for _, kind, value in ancillary if kind == socket.IPV6_PKTINFO), b"")
            key = (listener.fileno(), local, client)
            try:
                flow = self._flows.pop(key, None) or self._new_flow(listener, target, local, client)
            except OSError:  # no descriptor is free: the datagram is lost
                continue
            self._flows[key] = flow  # at the end
            flow.send(data)

    def _new_flow(self, listener: socket.socket, target: Target, local: bytes, client: object) -> Flow:
        if len(self._flows) >= _MAX_FLOWS:
            self._drop_flow(next(iter(self._flows)))
        flow = Flow(listener, target, local, client)
        self.watch(flow.channel.fileno(), IN, flow.reply)
        return flow

    def _drop_flow(self, key: tuple[int, bytes, object]) -> None:
        flow = self._flows.pop(key)
        self.unwatch(flow.channel.fileno())
        flow.channel.close()
