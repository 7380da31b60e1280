"""Somebody from outside: a machine on a wire of its own to this host.

It is a child process in a network namespace that nobody has pinned: when it ends, or is killed, or this process is, the
namespace goes, and the cable with it.
"""

import os
import signal
import socket
import time
from ipaddress import IPv4Interface

from minirun.kernel import credentials, processes
from minirun.kernel.links import address_add, default_route_add, link_del, link_give, link_up, pair_add
from minirun.kernel.netns import network_unshare
from minirun.kernel.sockets import loopback_up, receive_with_fds, send_with_fds
from minirun.kernel.taps import Tap
from minirun.kernel.topology import interfaces

# Of the range set aside for tests of network devices (RFC 2544): nobody's at home.
HERE, THERE = IPv4Interface("198.18.254.1/30"), IPv4Interface("198.18.254.2/30")
_WIRE = "mr-trace0"
_PATIENCE = 2.0  # seconds
_SETTLING = 0.005  # seconds; the kernel says that the link runs a little before it lets packets out (linkwatch_do_dev)


class Stranger:
    """`opened` makes sockets where the stranger is."""

    def __init__(self) -> None:
        self._line, theirs = socket.socketpair()
        parent = os.getpid()
        self._pid = processes.fork(lambda: _live(theirs, self._line, parent), lambda error: None)
        theirs.close()
        try:
            if self._line.recv(1) != b"U":
                raise OSError("no network namespace could be made")
            _lay(self._pid)
            self._line.sendall(b"W")
            if self._line.recv(1) != b"C":
                raise OSError("the wire to the host could not be laid")
            _wait_until_running()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """The kernel would take the wire along with the namespace, a moment later."""
        link_del(_WIRE)
        self._line.close()
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)

    def opened(self, kind: str) -> socket.socket:
        """A socket there: tcp, udp, or packet, for all that passes its interface."""
        self._line.sendall(kind[:1].encode())
        _, fds = receive_with_fds(self._line, 1, 1)
        return socket.socket(fileno=fds[0])


def _lay(pid: int) -> None:
    pair_add(_WIRE, f"{_WIRE}p")
    link_give(f"{_WIRE}p", pid)
    address_add(_WIRE, HERE)
    link_up(_WIRE)


def _wait_until_running() -> None:
    """The host's end was up first; that the other is, too, the kernel tells it a moment later."""
    deadline = time.monotonic() + _PATIENCE
    while not any(link.name == _WIRE and link.running for link in interfaces()) and time.monotonic() < deadline:
        time.sleep(0.002)
    time.sleep(_SETTLING)


def _live(line: socket.socket, theirs: socket.socket, parent: int) -> int:
    theirs.close()
    credentials.die_with_parent(parent)
    network_unshare()
    line.sendall(b"U")
    line.recv(1)
    loopback_up()
    address_add(f"{_WIRE}p", THERE)
    link_up(f"{_WIRE}p")
    default_route_add(f"{_WIRE}p", HERE.ip)
    line.sendall(b"C")
    while order := line.recv(1):
        made = _make(order)
        send_with_fds(line, b"S", [made.fileno()])
        made.close()
    return 0


def _make(order: bytes) -> socket.socket:
    if order == b"p":
        return Tap().socket
    return socket.socket(socket.AF_INET, socket.SOCK_STREAM if order == b"t" else socket.SOCK_DGRAM)
