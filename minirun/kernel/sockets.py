"""What needs a socket but no netlink: loopback up, and holding a host port so that nobody else can take it."""

import array
import fcntl
import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

from minirun.kernel._sys import lib
from minirun.kernel.errno import check
from minirun.kernel.seam import shell

_SIOCGIFFLAGS, _SIOCSIFFLAGS, _SIOCGIFHWADDR = 0x8913, 0x8914, 0x8927
_SIOCSIFADDR, _SIOCSIFNETMASK = 0x8916, 0x891C
_KINDS = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}
_LISTEN, _UDP_UNCONNECTED = "0A", "07"


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


@shell("# hold {protocol} {host}:{port} so that no other process can take it")
def port_hold(protocol: str, host: str, port: int) -> socket.socket:
    """Bind (and for TCP listen on) a host port; port 0 lets the kernel choose. OSError EADDRINUSE when it is taken.

    The socket only occupies the port: packets are translated before they reach it, and its filter drops what does.
    SO_REUSEADDR gets past connections in TIME_WAIT; listening then keeps every other process out all the same.
    """
    holder = socket.socket(socket.AF_INET, _KINDS[protocol] | socket.SOCK_CLOEXEC)
    try:
        check(lib.sys_drop_all_packets(holder.fileno()))
        if protocol == "tcp":
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind((host, port))
        if protocol == "tcp":
            holder.listen(1)
    except OSError:
        holder.close()
        raise
    return holder


def port_owner(protocol: str, port: int) -> str | None:
    """Which process listens on a host port, as "nginx (pid 7)"; None when that cannot be told."""
    inodes = {inode for number, inode in _listeners(protocol) if number == port}
    if not inodes:
        return None
    targets = {f"socket:[{inode}]" for inode in inodes}
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and _has_fd(process, targets):
            return f"{_comm(process)} (pid {process.name})"
    return None


def _listeners(protocol: str) -> Iterator[tuple[int, str]]:
    state = _LISTEN if protocol == "tcp" else _UDP_UNCONNECTED
    for table in (protocol, f"{protocol}6"):
        try:
            lines = Path(f"/proc/net/{table}").read_text().splitlines()[1:]
        except FileNotFoundError:
            continue
        for line in lines:
            fields = line.split()
            if fields[3] == state:
                yield int(fields[1].rpartition(":")[2], 16), fields[9]


def _has_fd(process: Path, targets: set[str]) -> bool:
    try:
        return any(os.readlink(fd) in targets for fd in (process / "fd").iterdir())
    except OSError:
        return False


def _comm(process: Path) -> str:
    try:
        return (process / "comm").read_text().strip()
    except OSError:
        return "a process"


def send_with_fds(channel: socket.socket, data: bytes, fds: list[int]) -> None:
    """Bytes on a stream socket, with open files riding on the first of them (unix(7), SCM_RIGHTS)."""
    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
    sent = channel.sendmsg([data], ancillary)
    channel.sendall(data[sent:])


def receive_with_fds(channel: socket.socket, size: int, most: int) -> tuple[bytes, list[int]]:
    """Up to `size` bytes and `most` files, which arrive close-on-exec; b"" at the end of the stream."""
    data, fds, _, _ = socket.recv_fds(channel, size, most, socket.MSG_CMSG_CLOEXEC)
    return data, list(fds)


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
