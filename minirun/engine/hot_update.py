"""Updating the network of an existing container: the networks it is in, and its published ports.

network/operations.py does the work. The engine's part is to know which run of the container is meant, and to tell its
shim, which keeps the port reservations. At whatever step a command is killed, the shim sees its connection close, and
applies what is on record (shim/port_reservations.py).
"""

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial

from minirun.engine.liveness import is_same, wait_until_started
from minirun.engine.protocol import ATTACH_SOCKET, CHUNK, Kind, frame, send_sockets
from minirun.errors import ConflictError, MinirunError, NotFoundError
from minirun.instance import Instance
from minirun.kernel.sockets import control_connect
from minirun.model import ACTIVE, Attachment, Container, Network, PortMapping
from minirun.network import operations
from minirun.store.lookup import find_container


def connect(instance: Instance, container: Container, network: Network, attachment: Attachment) -> list[str]:
    """Connect a container to a network. Return notes for the user, as a start does."""
    return operations.connect(HotUpdate(instance, container), network, attachment)


def disconnect(instance: Instance, container: Container, network: Network) -> None:
    """Disconnect a container from a network."""
    operations.disconnect(HotUpdate(instance, container), network)


def leave_removed(instance: Instance, container: Container, network: str) -> bool:
    """Take a container out of a network that has been removed. Return whether it was in one of this name."""
    return operations.leave_removed(HotUpdate(instance, container), network)


def unlink(instance: Instance, reference: str) -> None:
    """Remove the link CONTAINER/ALIAS. NotFoundError when there is none."""
    name, _, alias = reference.strip("/").partition("/")
    if not alias:
        raise ConflictError("Conflict, cannot remove the default link name of the container")
    container = find_container(instance.store, name)
    if not operations.unlink(HotUpdate(instance, container), alias):
        raise NotFoundError(f"No such link: {reference}")


def publish(instance: Instance, container: Container, mapping: PortMapping) -> list[PortMapping]:
    """Publish a port or range. Return the placed mappings; of a stopped container, the request."""
    return operations.publish(HotUpdate(instance, container), mapping)


def unpublish(instance: Instance, container: Container, place: PortMapping) -> None:
    """Unpublish what is published at `place`; a place without an address means every address."""
    operations.unpublish(HotUpdate(instance, container), place)


@contextmanager
def shim_awake(instance: Instance, container: Container) -> Iterator[None]:
    """Within the context, a running container's shim is awake or wakes up. It reads the record before it sleeps."""
    try:
        channel = control_connect(str(instance.container_dir(container.id)), ATTACH_SOCKET)
    except OSError:  # it does not run
        yield
        return
    with channel:
        yield


class HotUpdate:
    """The engine's side of one update (network/update.py, ContainerUpdate). Waits while the container is starting."""

    def __init__(self, instance: Instance, container: Container) -> None:
        self.instance = instance
        self.container = wait_until_started(instance, container)

    @property
    def is_active(self) -> bool:
        """Whether the container runs."""
        return self.container.status in ACTIVE

    def current(self) -> Container:
        """Read the record again, within a transaction so that it stays true. MinirunError when it is another run's."""
        current = self.instance.store.container(self.container.id)
        if (
            current is None
            or not is_same(current.shim, self.container.shim)
            or (current.status in ACTIVE) != self.is_active
        ):
            raise self._other_run()
        return current

    @contextmanager
    def announced(self) -> Iterator[operations.SendSockets]:
        """Within the context, the shim knows of the update. At its end the shim keeps what is on record, no more."""
        try:
            channel = control_connect(str(self.instance.container_dir(self.container.id)), ATTACH_SOCKET)
        except OSError as error:
            raise self._other_run() from error
        with channel:
            try:
                channel.sendall(frame(Kind.PORTS))
                yield partial(send_sockets, channel)
                channel.sendall(frame(Kind.SETTLED))
            except BrokenPipeError as error:
                raise self._other_run() from error
            finally:
                _await_close(channel)

    def _other_run(self) -> MinirunError:
        name = self.container.name
        return MinirunError(f"container {name} has just been started or ended by another command", "try again")


def _await_close(channel: socket.socket) -> None:
    """Wait until the shim has done its part, and closes its end."""
    with suppress(OSError):
        channel.shutdown(socket.SHUT_WR)
        while channel.recv(CHUNK):
            pass
