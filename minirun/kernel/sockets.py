"""What needs a socket but no netlink: loopback up, and holding a host port so that nobody else can take it."""

import array
import errno
import fcntl
import os
import socket
import struct
from collections.abc import Iterable
from pathlib import Path

from minirun.kernel.seam import shell
from minirun.kernel.syscalls import check, lib

_IP_MTU = 14
_FAR_AWAY = ("198.41.0.4", 53)  # a root name server: an address that nobody has at home
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _SIOCGIFHWADDR = 0x8913, 0x8914, 0x8927
_SIOCGIFMTU = 0x8921
_SIOCSIFADDR, _SIOCSIFNETMASK = 0x8916, 0x891C
_FD_SETSIZE = 1024
_KINDS = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}


@shell("ip link set lo up")
def loopback_up() -> None:
    """By ioctl (netdevice(7)): `none` then needs no netlink library. 127.0.0.1 comes with being up."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as control:
        request = struct.pack("16sh14x", b"lo", 0)
        flags = struct.unpack_from("h", fcntl.ioctl(control, _SIOCGIFFLAGS, request), 16)[0]
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | 1))


@shell("ip address replace {address}/32 dev lo")
def loopback_address_add(address: str) -> None:
    """One more address on loopback, by ioctl as above: under the label of an alias, beside 127.0.0.1."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as control:
        for call, value in ((_SIOCSIFADDR, address), (_SIOCSIFNETMASK, "255.255.255.255")):
            place = struct.pack("=HH4s8x", socket.AF_INET, 0, socket.inet_aton(value))
            fcntl.ioctl(control, call, struct.pack("16s16s8x", b"lo:0", place))


def egress_mtu() -> int | None:
    """The largest packet that fits through the way out: the route's MTU, or its link's. None when there is no way out.

    Connecting a UDP socket looks the route up, by all the rules there are, and sends nothing (ip(7), IP_MTU).
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as probe:
        try:
            probe.connect(_FAR_AWAY)
            return probe.getsockopt(socket.IPPROTO_IP, _IP_MTU)
        except OSError:
            return None


def link_mtu(name: str) -> int:
    """OSError ENODEV when there is no such link."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as control:
        answer = fcntl.ioctl(control, _SIOCGIFMTU, struct.pack("16s24x", name.encode()))
    return int(struct.unpack_from("i", answer, 16)[0])


def link_state(name: str) -> tuple[str, bool]:
    """(hardware address, administratively up) of a link, by ioctl: no dump; ("", False) when there is none."""
    request = struct.pack("16s24x", name.encode())
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as control:
        try:
            flags = fcntl.ioctl(control, _SIOCGIFFLAGS, request)
            address = fcntl.ioctl(control, _SIOCGIFHWADDR, request)
        except OSError:
            return "", False
    return address[18:24].hex(":"), bool(struct.unpack_from("h", flags, 16)[0] & 1)


def interface_index(name: str) -> int:
    """0 when there is none of that name."""
    try:
        return socket.if_nametoindex(name)
    except OSError:
        return 0


@shell("# hold {protocol} {host}:{port} so that no other process can take it")
def port_hold(protocol: str, host: str, port: int) -> socket.socket:
    """Bind a host port, of IPv6 when `host` is; port 0 lets the kernel choose. OSError EADDRINUSE when it is taken.

    The socket only occupies the port: packets are translated before they reach it, and its filter drops what does.
    A TCP socket does not listen yet, see `port_close`. Until then only one without SO_REUSEADDR keeps everybody out, so
    that is set only where it has to be: to get past connections in TIME_WAIT.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    holder = socket.socket(family, _KINDS[protocol] | socket.SOCK_CLOEXEC)
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


def port_close(holder: socket.socket) -> None:
    """Once packets are translated: listen, which keeps out also those who have SO_REUSEADDR.

    Not earlier: a client that knocks in between would be dropped without a word, and by the entry that conntrack made
    for its first packet all its further ones would come here too, for as long as it tries. So it is refused at once,
    and its next attempt is a new connection. OSError EADDRINUSE: such a process was quicker.
    """
    if holder.type == socket.SOCK_STREAM:
        holder.listen(1)


def port_owner(protocol: str, port: int) -> str | None:
    """Which process listens on a host port, as "nginx (pid 7)"; None when that cannot be told."""
    from minirun.kernel.sock_diag import SocketTable

    table = SocketTable()
    try:
        inodes = {one.inode for one in table.listeners((protocol,)) if one.port == port}
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
    """What its descriptors stand for; nothing of one that has ended."""
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
    """Bytes on a stream socket, with open files riding on the first of them (unix(7), SCM_RIGHTS)."""
    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
    sent = channel.sendmsg([data], ancillary)
    if sent < len(data):  # of nothing at all it would still be told that the other end is closed by now
        channel.sendall(data[sent:])


def receive_with_fds(channel: socket.socket, size: int, most: int) -> tuple[bytes, list[int]]:
    """Up to `size` bytes and `most` files, which arrive close-on-exec; b"" at the end of the stream."""
    fds = array.array("i")
    room = socket.CMSG_LEN(most * fds.itemsize)
    data, ancillary, _, _ = channel.recvmsg(size, room, socket.MSG_CMSG_CLOEXEC)
    for level, kind, piece in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            fds.frombytes(piece[: len(piece) - len(piece) % fds.itemsize])
    return data, list(fds)


def above_select(fd: int) -> int:
    """The same open file under a number that select(2) cannot use: libnftables, for one, talks with it, and is ended by
    libc when what it opens has a number of FD_SETSIZE or more."""
    if fd >= _FD_SETSIZE:
        return fd
    moved = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _FD_SETSIZE)
    os.close(fd)
    return moved


def control_listen(directory: str, name: str) -> socket.socket:
    """A listening unix socket for root alone; one that a killed process left there is replaced.

    By way of /proc/self/fd: the path itself may be longer than the 107 bytes that unix(7) allows.
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


def control_connect(directory: str, name: str) -> socket.socket:
    """OSError when nobody listens there."""
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
