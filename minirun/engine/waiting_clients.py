"""Clients that attach to a container before it starts, and miss nothing of its output or its end.

Each listens at a socket of its own in the container's directory. Whoever starts the container makes a pair of sockets
for each of them, before it sends the plan: one end goes to the shim, the other to the client.
"""

import os
import socket
from contextlib import suppress
from pathlib import Path

from minirun.engine.protocol import Kind, frame
from minirun.kernel.sockets import control_connect, control_listen, receive_with_fds, send_with_fds

_PREFIX = "waiting."


class WaitingClient:
    """One that waits for a start, with flags of ATTACH. Close it; a socket that a killed process left is harmless."""

    def __init__(self, directory: Path, flags: int) -> None:
        """directory: the container's. FileNotFoundError when it does not exist."""
        self._path = directory / f"{_PREFIX}{os.getpid()}.{flags}"
        self._listener = control_listen(str(directory), self._path.name)

    def fileno(self) -> int:
        """Readable when the container starts."""
        return self._listener.fileno()

    def channel(self) -> socket.socket | None:
        """The channel to the shim, once the container starts; None before."""
        try:
            starting, _ = self._listener.accept()
        except BlockingIOError:
            return None
        starting.setblocking(True)
        with starting:
            _, fds = receive_with_fds(starting, 1, 1)
        return socket.socket(fileno=fds[0]) if fds else None

    def close(self) -> None:
        """Stop waiting."""
        self._listener.close()
        self._path.unlink(missing_ok=True)


def pass_to_shim(directory: Path, shim: socket.socket) -> None:
    """Connect the clients that wait in a container's directory with its shim, over the channel to it."""
    for name in os.listdir(directory):
        if not name.startswith(_PREFIX):
            continue
        try:
            client = control_connect(str(directory), name)
        except OSError:
            (directory / name).unlink(missing_ok=True)
            continue
        ours, theirs = socket.socketpair()
        with client, ours, theirs, suppress(OSError):  # it may end just now
            send_with_fds(client, b"C", [ours.fileno()])
            flags = int(name.rpartition(".")[2])
            send_with_fds(shim, frame(Kind.CLIENT, bytes([flags])), [theirs.fileno()])
