"""A temporary host outside this one, connected to it by a veth pair.

It is a child process in a network namespace that is not pinned. When the child or its parent ends or is killed, the
kernel removes the namespace, and the veth pair with it.
"""

import os
import signal
import socket
import time
from contextlib import closing
from ipaddress import IPv4Interface

from minirun.kernel import credentials, processes
from minirun.kernel.link_queries import interfaces
from minirun.kernel.links import address_add, default_route_add, link_del, link_give, link_up, pair_add
from minirun.kernel.loopback import loopback_up
from minirun.kernel.netns import network_unshare
from minirun.kernel.sockets import receive_with_fds, send_with_fds
from minirun.kernel.taps import Tap

# From the range for tests of network devices (RFC 2544), which no real network uses.
HOST_SIDE, OUTER_SIDE = IPv4Interface("198.18.254.1/30"), IPv4Interface("198.18.254.2/30")
VETH = "mr-trace0"
_PEER = f"{VETH}p"
_UNSHARED, _GO, _CONFIGURED, _SOCKET = b"U", b"W", b"C", b"S"  # messages between parent and child
_TIMEOUT = 2.0  # seconds
_SETTLE = 0.005  # seconds; the kernel reports the link as running before it forwards packets (linkwatch_do_dev)


class OutsideHost:
    """A network namespace with one interface and a default route to this host. `close` it after use."""

    def __init__(self) -> None:
        """Create it. Raises OSError if the kernel refuses."""
        self._channel, child_end = socket.socketpair()
        parent = os.getpid()
        self._pid = processes.fork(lambda: _serve(child_end, self._channel, parent), lambda error: None)
        child_end.close()
        try:
            if self._channel.recv(1) != _UNSHARED:
                raise OSError("cannot create the network namespace of the outside host")
            _connect(self._pid)
            self._channel.sendall(_GO)
            if self._channel.recv(1) != _CONFIGURED:
                raise OSError("cannot configure the veth pair of the outside host")
            _wait_until_running()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Remove the veth pair and end the child. The kernel alone would remove the pair a moment later."""
        link_del(VETH)
        self._channel.close()
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)

    def open_socket(self, kind: str) -> socket.socket:
        """Open a socket in the namespace: tcp, udp, or packet (for all packets of its interface, see taps.Tap)."""
        self._channel.sendall(kind[:1].encode())
        _, fds = receive_with_fds(self._channel, 1, 1)
        return socket.socket(fileno=fds[0])


def _connect(pid: int) -> None:
    pair_add(VETH, _PEER)
    link_give(_PEER, pid)
    address_add(VETH, HOST_SIDE)
    link_up(VETH)


def _wait_until_running() -> None:
    """Wait for the carrier: this end was set up first, and the kernel notices the other end a moment later."""
    deadline = time.monotonic() + _TIMEOUT
    while not any(link.name == VETH and link.running for link in interfaces()) and time.monotonic() < deadline:
        time.sleep(0.002)
    time.sleep(_SETTLE)


def _serve(channel: socket.socket, parent_end: socket.socket, parent: int) -> int:
    """The child: configure the namespace, then open sockets on request until the parent closes its end."""
    parent_end.close()
    credentials.die_with_parent(parent)
    network_unshare()
    channel.sendall(_UNSHARED)
    channel.recv(1)
    loopback_up()
    address_add(_PEER, OUTER_SIDE)
    link_up(_PEER)
    default_route_add(_PEER, HOST_SIDE.ip)
    channel.sendall(_CONFIGURED)
    while kind := channel.recv(1):
        with closing(_open(kind)) as opened:
            send_with_fds(channel, _SOCKET, [opened.fileno()])
    return 0


def _open(kind: bytes) -> socket.socket:
    if kind == b"p":
        return Tap().socket
    return socket.socket(socket.AF_INET, socket.SOCK_STREAM if kind == b"t" else socket.SOCK_DGRAM)
