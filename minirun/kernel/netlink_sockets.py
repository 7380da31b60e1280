"""The netlink sockets of this process (netlink(7)): pyroute2's, each opened at the first request that needs it.

There is one of a kind for each network namespace that requests are made in, and for each thread; callers above kernel/
hold none. Two things must not happen to them:

- A socket keeps its network namespace alive. Whoever leaves a namespace (`netns.entered`) closes its sockets first.
- They run an asyncio loop, whose epoll instance a child would share. Whoever forks (`processes`) closes them first;
  the next request opens a new one, which takes about 0.5 ms.
"""

import atexit
import os
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from pyroute2 import IPRoute, NFTSocket
from pyroute2.netlink import NLM_F_DUMP_INTR, nla
from pyroute2.netlink.exceptions import NetlinkError
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg

_NAMESPACE = "/proc/thread-self/ns/net"
_DUMP_TRIES = 5
PROTOCOLS = {"tcp": socket.IPPROTO_TCP, "udp": socket.IPPROTO_UDP, "sctp": socket.IPPROTO_SCTP}
_Key = tuple[int, int, int]  # pid, thread, inode of the network namespace
_sockets: dict[_Key, dict[str, Any]] = {}  # by key, then by kind


@contextmanager
def rtnetlink() -> Iterator[IPRoute]:
    """The rtnetlink(7) socket of the network namespace that the caller is in; used as `with IPRoute() as ipr` is.

    Raises OSError with the kernel's errno for a refused request, and with the kernel's own text when it gives one.
    """
    with _shared("route", lambda: IPRoute(ext_ack=True)) as ipr:
        yield ipr


@contextmanager
def nf_tables() -> Iterator[NFTSocket]:
    """The same for nf_tables (linux/netfilter/nf_tables.h)."""
    with _shared("nf_tables", NFTSocket) as nft:
        yield nft


@contextmanager
def os_errors() -> Iterator[None]:
    """Raise pyroute2's NetlinkError as the subclass of OSError that its number means, such as FileExistsError."""
    try:
        yield
    except NetlinkError as error:
        reason, text = os.strerror(error.code), str(error.args[1])
        raise OSError(error.code, reason if text == reason else f"{reason} ({text})") from None


def complete(dump: Callable[[], Iterable[Any]]) -> list[Any]:
    """The messages of a dump, which is repeated when something changed meanwhile (NLM_F_DUMP_INTR).

    Such a dump may lack what existed all the time.
    """
    for _ in range(_DUMP_TRIES):
        messages = list(dump())
        if not any(message["header"]["flags"] & NLM_F_DUMP_INTR for message in messages):
            break
    return messages


def close_here() -> None:
    """Close the sockets of the network namespace that the caller is in."""
    _close(_key())


def close_all() -> None:
    """Close the sockets of this thread in all network namespaces. Those of other threads are in use."""
    for key in list(_sockets):
        if key[:2] == (os.getpid(), threading.get_ident()):
            _close(key)


@contextmanager
def _shared(kind: str, make: Callable[[], Any]) -> Iterator[Any]:
    sockets = _sockets.setdefault(_key(), {})
    if kind not in sockets:
        sockets[kind] = make()
    try:
        with os_errors():
            yield sockets[kind]
    except OSError:
        raise
    except BaseException:  # interrupted between a request and its answer
        close_here()
        raise


def _close(key: _Key) -> None:
    for opened in _sockets.pop(key, {}).values():
        opened.close()


def _key() -> _Key:
    return os.getpid(), threading.get_ident(), os.stat(_NAMESPACE).st_ino


class _BridgeData(ifinfmsg.ifinfo.bridge_data):  # type: ignore[misc]
    """IFLA_INFO_DATA of a bridge with what pyroute2 0.9.7 lacks: multi_boolopt, ip-link(8)'s `no_linklocal_learn`.

    https://git.kernel.org/pub/scm/linux/kernel/git/torvalds/linux.git/tree/include/uapi/linux/if_link.h (IFLA_BR_*)
    """

    nla_map = (
        *ifinfmsg.ifinfo.bridge_data.nla_map,
        ("IFLA_BR_VLAN_STATS_PER_PORT", "uint8"),
        ("IFLA_BR_MULTI_BOOLOPT", "br_boolopt_multi"),
    )

    class br_boolopt_multi(nla):  # type: ignore[misc]  # noqa: N801 - pyroute2 looks it up by this name
        """linux/if_bridge.h: which options are meant, and their values."""

        fields = (("optval", "I"), ("optmask", "I"))


ifinfmsg.ifinfo.register_link_kind(module={"bridge": _BridgeData})
atexit.register(close_all)
