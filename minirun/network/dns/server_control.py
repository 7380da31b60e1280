"""Reaching the resolver, starting it, and taking away what it leaves.

Whoever needs it holds a connection to it, which is all that keeps it alive. All changes are made under one lock (of the
state root), by whoever comes: a start finds the resolver and connects, or finds none and starts one; the resolver, when
nobody is connected any more, takes its socket and its namespace away and goes. So a connection that was made under the
lock is one to a resolver that stays.

Its sockets are opened before it is started: a question that comes first waits in them.
"""

import socket
import sys
import time
from contextlib import suppress

from minirun.instance import RESOLVER_SOCKET, Instance, locked
from minirun.kernel.netns import entered, netns_add, netns_del, netns_exists
from minirun.kernel.processes import spawn_away
from minirun.kernel.sockets import control_connect, control_listen, loopback_address_add, loopback_up
from minirun.kernel.sysctl import sysctl_ensure

ADDRESS = "169.254.53.53"
PORT = 53
LOG = "resolver.log"
DATAGRAMS, LISTENER, CONTROL = 3, 4, 5  # the descriptors that the process is born with
KEEPS, ENDS = b"k", b"e"  # what is said on a connection: I need you; end
_LAST_ONE = 2.0  # seconds that the sockets of one that was killed may be there still
# Nothing goes through from one leg to another, and a packet is believed to be from whom it says only on the leg where
# that one is. All of it is said, because a new namespace inherits what the host has (forwarding, for one).
_SYSCTLS = {
    "net.ipv4.ip_forward": "0",
    "net.ipv4.conf.all.rp_filter": "1",
    "net.ipv4.conf.default.rp_filter": "1",
    "net.ipv4.conf.all.arp_ignore": "0",
    "net.ipv4.conf.default.arp_ignore": "0",
    "net.ipv4.conf.all.send_redirects": "0",
    "net.ipv6.conf.all.disable_ipv6": "1",
    "net.ipv6.conf.default.disable_ipv6": "1",
}


def reach(instance: Instance) -> socket.socket:
    """A connection to the resolver, for as long as it is needed."""
    root = str(instance.root)
    with locked(instance.root):
        channel = _connect(root)
        if channel is not None and not netns_exists(instance.resolver_netns):
            _end(channel)  # somebody has removed its pin: no network can be given a leg to it any more
            channel = None
        if channel is None:
            _start(instance)
            channel = control_connect(root, RESOLVER_SOCKET)
        channel.sendall(KEEPS)
    return channel


def mend(instance: Instance) -> None:
    """Take away what a resolver that was killed has left, unless somebody will start it again."""
    if not (instance.root / RESOLVER_SOCKET).exists() or instance.store.has_named_endpoints():
        return
    with locked(instance.root):
        channel = _connect(str(instance.root))
        if channel is not None:
            channel.close()
        elif not instance.store.has_named_endpoints():
            take_away(instance)


def take_away(instance: Instance) -> None:
    """By whoever holds the lock. The legs go with the namespace."""
    netns_del(instance.resolver_netns)
    (instance.root / RESOLVER_SOCKET).unlink(missing_ok=True)
    log = instance.root / LOG
    with suppress(FileNotFoundError):
        if not log.stat().st_size:
            log.unlink()


def _connect(root: str) -> socket.socket | None:
    try:
        return control_connect(root, RESOLVER_SOCKET)
    except OSError:  # there is none, or it was killed
        return None


def _end(channel: socket.socket) -> None:
    with channel, suppress(OSError):
        channel.settimeout(_LAST_ONE)
        channel.sendall(ENDS)
        channel.recv(1)


def _start(instance: Instance) -> None:
    root = str(instance.root)
    datagrams, listener = _sockets(instance.resolver_netns)
    with datagrams, listener, control_listen(root, RESOLVER_SOCKET) as control:
        argv = [sys.executable, "-I", "-m", "minirun.network.dns", root]
        spawn_away(argv, [datagrams.fileno(), listener.fileno(), control.fileno()], f"{root}/{LOG}")


def _sockets(netns: str) -> tuple[socket.socket, socket.socket]:
    with suppress(FileExistsError):
        netns_add(netns)
    with entered(netns):
        for key, value in _SYSCTLS.items():
            sysctl_ensure(key, value)
        loopback_up()
        loopback_address_add(ADDRESS)
        return _bound(socket.SOCK_DGRAM), _bound(socket.SOCK_STREAM)


def _bound(kind: int) -> socket.socket:
    made = socket.socket(socket.AF_INET, kind | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    deadline = time.monotonic() + _LAST_ONE
    if kind == socket.SOCK_STREAM:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    while True:
        try:
            made.bind((ADDRESS, PORT))
            break
        except OSError:  # in use: by one that is just dying
            if time.monotonic() > deadline:
                made.close()
                raise
            time.sleep(0.005)
    if kind == socket.SOCK_STREAM:
        made.listen(64)
    return made
