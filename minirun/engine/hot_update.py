"""Changing the network of a container that runs: published ports, and the networks that it is in.

The command that does it tells the container's monitor first, then writes the record, then brings it in force. At
whatever step it is killed, the monitor sees it go, and brings in force what is on record (monitor/holding.py).
"""

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from minirun.engine.liveness import is_same
from minirun.engine.protocol import ATTACH_SOCKET, CHUNK, Kind, frame
from minirun.errors import MinirunError
from minirun.instance import Instance
from minirun.kernel.sockets import control_connect
from minirun.model import ACTIVE, Container


@contextmanager
def changing(instance: Instance, container: Container) -> Iterator[socket.socket]:
    """Within: its monitor knows that something is changing. At the end it holds what is on record, and no more."""
    try:
        channel = control_connect(str(instance.container_dir(container.id)), ATTACH_SOCKET)
    except OSError as error:
        raise _ending(container) from error
    with channel:
        channel.sendall(frame(Kind.PORTS))
        try:
            yield channel
            channel.sendall(frame(Kind.SETTLED))
        except BrokenPipeError as error:
            raise _ending(container) from error
        finally:
            _await_close(channel)


def _await_close(channel: socket.socket) -> None:
    """The monitor closes its end once it has done its part."""
    with suppress(OSError):
        channel.shutdown(socket.SHUT_WR)
        while channel.recv(CHUNK):
            pass


def unchanged(instance: Instance, container: Container) -> Container:
    """As it is on record now, if it is the same run. Within a transaction: it stays so."""
    now = instance.store.container(container.id)
    if (
        now is None
        or not is_same(now.monitor, container.monitor)
        or (now.status in ACTIVE) != (container.status in ACTIVE)
    ):
        raise _ending(container)
    return now


def _ending(container: Container) -> MinirunError:
    return MinirunError(f"container {container.name} has just been started or ended by another command", "try again")
