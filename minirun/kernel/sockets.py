"""Sockets other than netlink: ioctls on links, host ports that are held, and unix sockets for control."""

import array
import errno
import fcntl
import os
import socket
import struct
import termios
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from minirun.kernel.netlink_sockets import PROTOCOLS
from minirun.kernel.seam import shell
from minirun.kernel.sock_diag import SocketTable
from minirun.kernel.syscalls import check, lib

_IP_MTU = 14
_FAR_AWAY = ("198.41.0.4", 53)  # a root name server: an address that nobody has at home
_SIOCGIFFLAGS, _SIOCGIFHWADDR = 0x8913, 0x8927
_SIOCGIFMTU = 0x8921
_FD_SETSIZE = 1024
_SO_DETACH_FILTER = 27  # asm-generic/socket.h
_CREDENTIALS = struct.Struct("3i")  # struct ucred
_BACKLOG = 128
_MOMENT = 0.0001  # seconds
_KINDS = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM, "sctp": socket.SOCK_STREAM}


def egress_mtu() -> int | None:
    """The MTU of the default route, or of its link, in bytes. None when there is no such route.

    Connecting a UDP socket looks the route up, by all the rules there are, and sends nothing (ip(7), IP_MTU).
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as probe:
        try:
            probe.connect(_FAR_AWAY)
            return probe.getsockopt(socket.IPPROTO_IP, _IP_MTU)
        except OSError:
            return None


def link_mtu(name: str) -> int:
    """The MTU of a link in bytes. Raises OSError ENODEV when there is no such link."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as control:
        answer = fcntl.ioctl(control, _SIOCGIFMTU, struct.pack("16s24x", name.encode()))
    return int(struct.unpack_from("i", answer, 16)[0])


def link_state(name: str) -> tuple[str, bool]:
    """(hardware address, administratively up) of a link, by ioctl; ("", False) when it does not exist."""
    request = struct.pack("16s24x", name.encode())
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as control:
        try:
            flags = fcntl.ioctl(control, _SIOCGIFFLAGS, request)
            address = fcntl.ioctl(control, _SIOCGIFHWADDR, request)
        except OSError:
            return "", False
    return address[18:24].hex(":"), bool(struct.unpack_from("h", flags, 16)[0] & 1)


def interface_index(name: str) -> int:
    """The index of a link; 0 when it does not exist."""
    try:
        return socket.if_nametoindex(name)
    except OSError:
        return 0


def speaks(protocol: str) -> bool:
    """Return whether this kernel has a transport protocol; asking loads its module (modprobe.d(5), net-pf-*)."""
    try:
        socket.socket(socket.AF_INET, _KINDS[protocol] | socket.SOCK_CLOEXEC, PROTOCOLS[protocol]).close()
    except OSError:
        return False
    return True


@shell("# hold {protocol} {host}:{port} so that no other process can take it")
def port_hold(protocol: str, host: str, port: int) -> socket.socket:
    """Bind a host port, of IPv6 when `host` is; port 0 lets the kernel choose. Raises OSError EADDRINUSE when taken,
    EPROTONOSUPPORT when this kernel has no such protocol.

    The socket only occupies the port: packets are translated before they reach it, and its filter drops what does.
    A TCP socket does not listen yet, see `port_close`. Until then only one without SO_REUSEADDR keeps everybody out, so
    that is set only where it has to be: to get past connections in TIME_WAIT.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    holder = socket.socket(family, _KINDS[protocol] | socket.SOCK_CLOEXEC, PROTOCOLS[protocol])
    try:
        check(lib.sys_drop_all_packets(holder.fileno()))
        if family == socket.AF_INET6:
            holder.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        try:
            holder.bind((host, port))
        except OSError as error:
            if protocol == "udp" or error.errno != errno.EADDRINUSE:
                raise
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            holder.bind((host, port))
    except OSError:
        holder.close()
        raise
    return holder


def port_held(holder: socket.socket) -> tuple[str, str, int]:
    """The protocol, host address and port that a socket of `port_hold` holds."""
    address, port = holder.getsockname()[:2]
    return next(name for name, number in PROTOCOLS.items() if number == holder.proto), address, port


def port_close(holder: socket.socket) -> None:
    """Listen on a held port, which keeps out processes with SO_REUSEADDR too. Call it once packets are translated.

    Earlier, the packets of a client that connects in between would be dropped silently, and conntrack's entry for the
    first would send all its further ones here. Now such a client is refused at once, and its next attempt is a new
    connection. Raises OSError EADDRINUSE when another process was quicker.
    """
    if holder.type == socket.SOCK_STREAM:
        holder.listen(_BACKLOG)


def port_open(holder: socket.socket) -> None:
    """Let a held port accept packets, for a program that serves it."""
    try:
        holder.setsockopt(socket.SOL_SOCKET, _SO_DETACH_FILTER, 0)
    except FileNotFoundError:  # it has none any more
        pass
    port_close(holder)
    # Its connections inherit this: the next holder of the port gets past those in TIME_WAIT.
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)


def can_serve_ipv6() -> bool:
    """Return whether a program can serve IPv6 on this host: it may be off, or not in the kernel."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def port_owner(protocol: str, port: int) -> str | None:
    """Which process listens on a host port, as "nginx (pid 7)"; None when it is not known."""
    table = SocketTable()
    try:
        inodes = {listener.inode for listener in table.listeners((protocol,)) if listener.port == port}
    finally:
        table.close()
    targets = {f"socket:[{inode}]" for inode in inodes}
    for process in Path("/proc").iterdir() if targets else ():
        if process.name.isdigit() and not targets.isdisjoint(_links(process)):
            return f"{_comm(process)} (pid {process.name})"
    return None


def sockets_of(pids: Iterable[int]) -> set[int]:
    """The inodes of all sockets that these processes have open."""
    links = {link for pid in pids for link in _links(Path(f"/proc/{pid}"))}
    return {int(link[8:-1]) for link in links if link.startswith("socket:[")}


def _links(process: Path) -> set[str]:
    """What its descriptors lead to; nothing when it has ended."""
    try:
        return {os.readlink(fd) for fd in (process / "fd").iterdir()}
    except OSError:
        return set()


def _comm(process: Path) -> str:
    try:
        return (process / "comm").read_text().strip()
    except OSError:
        return "a process"


def send_with_fds(channel: socket.socket, data: bytes, fds: list[int]) -> None:
    """Send bytes on a stream socket, and open files with the first of them (unix(7), SCM_RIGHTS)."""
    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
    sent = channel.sendmsg([data], ancillary)
    if sent < len(data):  # sending nothing would fail, too, when the other end is closed by now
        channel.sendall(data[sent:])


def receive_with_fds(channel: socket.socket, size: int, most: int) -> tuple[bytes, list[int]]:
    """Receive up to `size` bytes and `most` files, which are close-on-exec; b"" at the end of the stream."""
    fds = array.array("i")
    room = socket.CMSG_LEN(most * fds.itemsize)
    data, ancillary, _, _ = channel.recvmsg(size, room, socket.MSG_CMSG_CLOEXEC)
    for level, kind, piece in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            fds.frombytes(piece[: len(piece) - len(piece) % fds.itemsize])
    return data, list(fds)


def above_select(fd: int) -> int:
    """Move an open file to a number of FD_SETSIZE (1024) or more, and return that.

    It leaves the lower numbers to libnftables, which uses select(2): with a higher one libc ends the process.
    """
    if fd >= _FD_SETSIZE:
        return fd
    moved = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _FD_SETSIZE)
    os.close(fd)
    return moved


def control_listen(directory: str, name: str) -> socket.socket:
    """A listening unix socket for root alone; one that a killed process left is replaced.

    Through /proc/self/fd: the path itself may be longer than the 107 bytes that unix(7) allows.
    """
    fd = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    before = os.umask(0o177)
    try:
        try:
            os.unlink(name, dir_fd=fd)
        except FileNotFoundError:
            pass
        listener.bind(f"/proc/self/fd/{fd}/{name}")
        listener.listen(128)
    finally:
        os.umask(before)
        os.close(fd)
    return listener


def control_peer(channel: socket.socket) -> int:
    """The pid of the process that made the listening socket at the other end (unix(7)); 0 when it cannot be seen."""
    pid: int = _CREDENTIALS.unpack(channel.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))[0]
    return pid


def control_connect(directory: str, name: str) -> socket.socket:
    """Connect to such a socket. Raises OSError when nobody listens."""
    fd = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        channel.connect(f"/proc/self/fd/{fd}/{name}")
    except OSError:
        channel.close()
        raise
    finally:
        os.close(fd)
    return channel


def receive_until_end(channel: socket.socket, size: int) -> bytes:
    """Receive; b"" at the end, which it is also when the other side ended without reading all that it was sent."""
    try:
        return channel.recv(size)
    except ConnectionError:
        return b""


def await_reader(sock: socket.socket, seconds: float) -> None:
    """Wait until the other side has read all that it was sent, `seconds` at most (SIOCOUTQ, unix(7))."""
    ends_at = time.monotonic() + seconds
    unread = array.array("i", [0])
    with suppress(OSError):  # not every kernel tells
        while not fcntl.ioctl(sock, termios.TIOCOUTQ, unread) and unread[0] and time.monotonic() < ends_at:
            time.sleep(_MOMENT)
