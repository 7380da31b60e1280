"""The rtnetlink socket of this process (rtnetlink(7)): pyroute2's IPRoute, opened at the first request.

There is one for each network namespace that the process makes requests in. Two things must not happen to them:

- A socket keeps its network namespace alive. Whoever leaves a namespace (`netns.entered`) closes its socket first.
- IPRoute runs an asyncio loop, and a child would share its epoll instance with the parent. Whoever forks
  (`processes`) closes them first; the next request opens a new one, which takes about 0.5 ms.
"""

import atexit
import os
from collections.abc import Iterator
from contextlib import contextmanager

from pyroute2 import IPRoute
from pyroute2.netlink import nla
from pyroute2.netlink.exceptions import NetlinkError
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg

_NAMESPACE = "/proc/thread-self/ns/net"
_sockets: dict[tuple[int, int], IPRoute] = {}  # by pid and inode of the network namespace


@contextmanager
def rtnetlink() -> Iterator[IPRoute]:
    """The socket of the network namespace that the caller is in, as in `with IPRoute() as ipr` of pyroute2's manual,
    but it stays open for later requests.

    Raises OSError with the kernel's errno for a refused request, and with the kernel's own text when it gives one.
    """
    key = _key()
    if key not in _sockets:
        _sockets[key] = IPRoute(ext_ack=True)
    try:
        yield _sockets[key]
    except NetlinkError as error:
        raise os_error(error) from None
    except OSError:
        raise
    except BaseException:  # interrupted between a request and its answer
        close_here()
        raise


def close_here() -> None:
    """Close the socket of the network namespace that the caller is in."""
    ipr = _sockets.pop(_key(), None)
    if ipr:
        ipr.close()


def close_all() -> None:
    """Close the sockets of this process in all network namespaces."""
    for pid, namespace in list(_sockets):
        if pid == os.getpid():
            _sockets.pop((pid, namespace)).close()


def _key() -> tuple[int, int]:
    return os.getpid(), os.stat(_NAMESPACE).st_ino


def os_error(error: NetlinkError) -> OSError:
    """The same as the subclass of OSError that its number means, such as FileExistsError."""
    reason, text = os.strerror(error.code), str(error.args[1])
    return OSError(error.code, reason if text == reason else f"{reason} ({text})")


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
