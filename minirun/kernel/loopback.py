"""The loopback link, by ioctl (netdevice(7)): for a process that has no netlink socket, and needs none."""

import fcntl
import socket
import struct

from minirun.kernel.seam import shell

_SIOCGIFFLAGS, _SIOCSIFFLAGS = 0x8913, 0x8914
_SIOCSIFADDR, _SIOCSIFNETMASK = 0x8916, 0x891C


@shell("ip link set lo up")
def loopback_up() -> None:
    """Set loopback up, which adds 127.0.0.1. By ioctl (netdevice(7)), for use in a container's first process."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as control:
        request = struct.pack("16sh14x", b"lo", 0)
        flags = struct.unpack_from("h", fcntl.ioctl(control, _SIOCGIFFLAGS, request), 16)[0]
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | 1))


@shell("ip address replace {address}/32 dev lo")
def loopback_address_add(address: str) -> None:
    """Add an address to loopback, by ioctl as above: under the label of an alias, beside 127.0.0.1."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as control:
        for call, value in ((_SIOCSIFADDR, address), (_SIOCSIFNETMASK, "255.255.255.255")):
            place = struct.pack("=HH4s8x", socket.AF_INET, 0, socket.inet_aton(value))
            fcntl.ioctl(control, call, struct.pack("16s16s8x", b"lo:0", place))
