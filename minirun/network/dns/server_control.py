"""Connecting to the DNS server, starting it, and removing what it leaves.

Whoever needs the server holds a connection to it, and only that keeps it alive. All changes happen under one lock (of
the state root): a start finds the server and connects, or starts one; the server, when nobody is connected any more,
removes its socket and namespace and ends. So a connection that was made under the lock is to a server that stays.

Its sockets are opened before it is started: the first query waits in them.
"""

import socket
import sys
import time
from contextlib import suppress

from minirun.instance import DNS_SOCKET, Instance, StateRoot, lock_directory
from minirun.kernel.loopback import loopback_address_add, loopback_up
from minirun.kernel.netns import entered, netns_add, netns_del, netns_exists, netns_is_pinned
from minirun.kernel.own_ids import OWN_IDS
from minirun.kernel.processes import process_kill, spawn_away
from minirun.kernel.procfs import processes_with
from minirun.kernel.sockets import control_connect, control_listen
from minirun.kernel.sysctl import sysctl_ensure
from minirun.network.dns.veth import DNS_SERVER

ADDRESS = str(DNS_SERVER)
PORT = 53
LOG = "resolver.log"  # in the state root
_PROGRAM = ("-m", "minirun.network.dns.process")
UDP_FD, TCP_FD, CONTROL_FD = 3, 4, 5  # the process's descriptors
# Messages on a connection: the server is needed as long as this is open; end now; end as soon as nobody needs it
KEEP_ALIVE, END, END_SOON = b"k", b"e", b"s"
_SO_RCVBUFFORCE = 33  # asm-generic/socket.h
_UDP_BUFFER = 1 << 20  # bytes: about a thousand queries at once; the default holds 270
_LAST_SERVER = 2.0  # seconds that a killed server's sockets may still exist
# Nothing is forwarded from one veth to another, and a packet's source address is valid only on the veth of its network.
# All of it is set, because a new namespace inherits the host's settings (forwarding, for one). See
# Documentation/networking/ip-sysctl.rst of the kernel.
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


def connect_or_start(instance: Instance) -> socket.socket:
    """Return a connection that keeps the server alive while it is open; start the server if none is running.

    Raises OSError when it cannot be started.
    """
    root = str(instance.root)
    with lock_directory(instance.root):
        channel = _connect_running(root)
        if channel is not None and not netns_is_pinned(instance.dns_netns):
            _request_end(channel)  # its namespace is no longer pinned: no network could get a veth to it
            channel = None
        if channel is None:
            _start(instance)
            channel = control_connect(root, DNS_SOCKET)
        channel.sendall(KEEP_ALIVE)
    return channel


def remove_leftovers(instance: Instance) -> None:
    """Remove what a killed server has left, unless containers on custom networks will start it again."""
    if not (instance.root / DNS_SOCKET).exists() or instance.store.has_named_endpoints():
        return
    with lock_directory(instance.root):
        channel = _connect_running(str(instance.root))
        if channel is not None:
            channel.close()
        elif not instance.store.has_named_endpoints():
            remove_server(instance)


def stop(place: StateRoot) -> bool:
    """End the server, whoever needs it, and remove what belongs to it. Return whether there was anything."""
    with lock_directory(place.root):
        channel = _connect_running(str(place.root))
        existed = channel is not None or netns_exists(place.dns_netns)
        if channel is not None:
            _request_end(channel)
        for pid in processes_with([*_PROGRAM, str(place.root)]):  # it does not answer
            process_kill(pid)
            existed = True
        if existed:
            remove_server(place)
    return existed


def end_soon(instance: Instance) -> None:
    """Have the server end as soon as nobody needs it: no start is to be expected that would find it running."""
    channel = _connect_running(str(instance.root))
    if channel is not None:
        with channel, suppress(OSError):
            channel.sendall(END_SOON)


def remove_server(place: StateRoot) -> None:
    """Remove the server's namespace, with its veths, its socket and an empty log. The caller holds the lock."""
    netns_del(place.dns_netns)
    (place.root / DNS_SOCKET).unlink(missing_ok=True)
    log = place.root / LOG
    with suppress(FileNotFoundError):
        if not log.stat().st_size:
            log.unlink()


def _connect_running(root: str) -> socket.socket | None:
    try:
        return control_connect(root, DNS_SOCKET)
    except OSError:  # it is not running, or was killed
        return None


def _request_end(channel: socket.socket) -> None:
    """Have the server end, and wait until its end closes the connection."""
    with channel, suppress(OSError):
        channel.settimeout(_LAST_SERVER)
        channel.sendall(END)
        channel.recv(1)


def _start(instance: Instance) -> None:
    root = str(instance.root)
    udp, tcp = _open_sockets(instance.dns_netns)
    with udp, tcp, control_listen(root, DNS_SOCKET) as control:
        argv = [sys.executable, "-I", *_PROGRAM, root]
        spawn_away(argv, [udp.fileno(), tcp.fileno(), control.fileno()], f"{root}/{LOG}")


def _open_sockets(netns: str) -> tuple[socket.socket, socket.socket]:
    """The UDP and the TCP socket, in the server's namespace, which is made if missing."""
    if not netns_is_pinned(netns):
        if netns_exists(netns):
            netns_del(netns)  # a file that nothing is mounted on any more
        netns_add(netns)
    with entered(netns):
        for key, value in _SYSCTLS.items():
            sysctl_ensure(key, value)
        loopback_up()
        loopback_address_add(ADDRESS)
        return _bind(socket.SOCK_DGRAM), _bind(socket.SOCK_STREAM)


def _bind(kind: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, kind | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    deadline = time.monotonic() + _LAST_SERVER
    if kind == socket.SOCK_STREAM:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    else:
        # FORCE takes a capability of the first user namespace: in a lab, net.core.rmem_max limits the buffer
        option = _SO_RCVBUFFORCE if OWN_IDS.is_first else socket.SO_RCVBUF
        listener.setsockopt(socket.SOL_SOCKET, option, _UDP_BUFFER)
    while True:
        try:
            listener.bind((ADDRESS, PORT))
            break
        except OSError:  # in use by a server that is ending
            if time.monotonic() > deadline:
                listener.close()
                raise
            time.sleep(0.005)
    if kind == socket.SOCK_STREAM:
        listener.listen(64)
    return listener
