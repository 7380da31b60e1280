"""What a network needs of the kernel, looked at quickly: all ports of all bridges by one question, and no library."""

import fcntl
import socket
import struct
from collections.abc import Sequence

from minirun.kernel.netlink import (
    HEADER,
    NETLINK_NETFILTER,
    NLM_F_REQUEST,
    NLMSG_ERROR,
    Netlink,
    attribute,
    attributes,
    dump,
)

Port = tuple[int, bool]  # the index of its bridge, whether it is up
Chain = tuple[int, str, str]  # family, table, name

_GETLINK, _GETCHAIN = 18, 10 << 8 | 4
_AF_BRIDGE = 7
_LINK = struct.Struct("=BxHiII")  # struct ifinfomsg
_NAMED = struct.Struct("=8xI4xHH")  # its flags, and the head of the attribute that follows
_MASTER = struct.Struct("=HHI")  # an attribute that is a number
_IFLA_IFNAME, _IFLA_MASTER = 3, 10
_CHAIN_TABLE, _CHAIN_NAME, _CHAIN_USE = 1, 3, 6
_SIOCGIFFLAGS, _SIOCGIFADDR = 0x8913, 0x8915
_UP = 1
_IPV6_BYTES = 16
_ADDRESSES6 = "/proc/thread-self/net/if_inet6"


def bridge_ports() -> dict[str, Port]:
    """Every link of this host that is a port of a bridge, by name."""
    return dict(map(port_of, dump(socket.NETLINK_ROUTE, _GETLINK, _LINK.pack(_AF_BRIDGE, 0, 0, 0, 0))))


def port_of(data: bytes) -> tuple[str, Port]:
    """From a message of that dump. The kernel says the name first, the bridge next, and much after that: where there
    are a thousand, only these are read."""
    flags, length, first = _NAMED.unpack_from(data)
    _, second, master = _MASTER.unpack_from(data, _LINK.size + (length + 3 & ~3))
    name = data[_NAMED.size : _LINK.size + length]
    if (first, second) != (_IFLA_IFNAME, _IFLA_MASTER):
        told = attributes(data, _LINK.size)
        name, master = told.get(_IFLA_IFNAME, b"\0"), struct.unpack("=I", told.get(_IFLA_MASTER, bytes(4)))[0]
    return name[:-1].decode(), (master, bool(flags & _UP))


def bridge_port(name: str) -> Port:
    """The same of one link; (0, False) when there is none, or it is no port."""
    channel = Netlink(socket.NETLINK_ROUTE)
    try:
        asked = _LINK.pack(socket.AF_UNSPEC, 0, 0, 0, 0) + attribute(_IFLA_IFNAME, name.encode() + b"\0")
        data = channel.query(_GETLINK, asked)
    except OSError:
        return 0, False
    finally:
        channel.close()
    master = attributes(data, _LINK.size).get(_IFLA_MASTER, bytes(4))
    return struct.unpack("=I", master)[0], bool(_LINK.unpack_from(data)[3] & _UP)


def chain_uses(chains: Sequence[Chain]) -> list[int]:
    """How many rules each has, and jumps to it; 0 when there is no such chain."""
    requests = b""
    for number, (family, table, name) in enumerate(chains):
        words = attribute(_CHAIN_TABLE, table.encode() + b"\0") + attribute(_CHAIN_NAME, name.encode() + b"\0")
        body = struct.pack("=BBH", family, 0, 0) + words
        requests += HEADER.pack(HEADER.size + len(body), _GETCHAIN, NLM_F_REQUEST, number, 0) + body
    found = [0] * len(chains)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_NETFILTER) as channel:
        channel.send(requests)
        for _ in chains:
            data = channel.recv(1 << 13)
            _, kind, _, number, _ = HEADER.unpack_from(data)
            if kind != NLMSG_ERROR:
                uses = attributes(data, HEADER.size + 4).get(_CHAIN_USE, b"")
                found[number] = int.from_bytes(uses, "big")
    return found


class Interfaces:
    """Questions by ioctl (netdevice(7)), by one socket for all of them."""

    def __init__(self) -> None:
        self._addresses6: set[tuple[str, bytes]] | None = None
        self._control = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)

    def __enter__(self) -> "Interfaces":
        return self

    def __exit__(self, *_: object) -> None:
        self._control.close()

    def is_enabled(self, name: str) -> bool:
        try:
            found = fcntl.ioctl(self._control, _SIOCGIFFLAGS, struct.pack("16s24x", name.encode()))
        except OSError:
            return False
        return bool(struct.unpack_from("h", found, 16)[0] & _UP)

    def has_address(self, name: str, address: bytes) -> bool:
        """Whether an interface has an address, of either family."""
        if len(address) == _IPV6_BYTES:
            self._addresses6 = _read_addresses6() if self._addresses6 is None else self._addresses6
            return (name, address) in self._addresses6
        # With an address in the question the kernel looks for that one first, and else says another.
        place = struct.pack("=HH4s8x", socket.AF_INET, 0, address)
        try:
            found = fcntl.ioctl(self._control, _SIOCGIFADDR, struct.pack("16s16s8x", name.encode(), place))
        except OSError:
            return False
        return found[20:24] == address


def _read_addresses6() -> set[tuple[str, bytes]]:
    """(interface, address) of every IPv6 address (proc_pid_net(5))."""
    try:
        with open(_ADDRESSES6) as lines:
            return {(words[5], bytes.fromhex(words[0])) for words in map(str.split, lines)}
    except FileNotFoundError:  # IPv6 is switched off in this kernel
        return set()
