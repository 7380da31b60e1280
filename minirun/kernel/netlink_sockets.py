"""The netlink sockets of this process (netlink(7)), each opened at the first request that needs it.

There is one of a kind for each network namespace that requests are made in; callers above kernel/ hold none. Two things
must not happen to them:

- A socket keeps its network namespace alive. Whoever leaves a namespace (`netns.entered`) closes its sockets first.
- A child would share them, answers and all. Whoever forks (`processes`) closes them first.

They stay open between two requests, because closing one of netfilter's after a deletion waits for an RCU grace period,
8 to 15 ms. At its end a process closes them, too, but then nobody waits for it.
"""

import os
import socket
from collections.abc import Callable
from typing import Any

_NAMESPACE = "/proc/thread-self/ns/net"
_SOL_NETLINK, _NETLINK_CAP_ACK, _NETLINK_EXT_ACK = 270, 10, 11
_sockets: dict[tuple[int, int], dict[object, Any]] = {}  # by pid and inode of the network namespace, then by kind


def plain(protocol: int) -> socket.socket:
    """The socket of a protocol (NETLINK_*) in the network namespace that the caller is in, for `netlink`."""

    def make() -> socket.socket:
        channel = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
        for option in (_NETLINK_CAP_ACK, _NETLINK_EXT_ACK):
            channel.setsockopt(_SOL_NETLINK, option, 1)
        return channel

    channel: socket.socket = shared(protocol, make)
    return channel


def shared(kind: object, make: Callable[[], Any]) -> Any:
    """The socket of a kind in the network namespace that the caller is in; `make` opens it when there is none yet."""
    sockets = _sockets.setdefault(_key(), {})
    if kind not in sockets:
        sockets[kind] = make()
    return sockets[kind]


def close_here() -> None:
    """Close the sockets of the network namespace that the caller is in."""
    _close(_key())


def close_all() -> None:
    """Close the sockets of this process in all network namespaces."""
    for key in list(_sockets):
        if key[0] == os.getpid():
            _close(key)


def _close(key: tuple[int, int]) -> None:
    for opened in _sockets.pop(key, {}).values():
        opened.close()


def _key() -> tuple[int, int]:
    return os.getpid(), os.stat(_NAMESPACE).st_ino
