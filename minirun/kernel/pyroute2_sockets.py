"""pyroute2's sockets, for questions whose answers have much to decode (netlink.py has the requests of a start).

They run an asyncio loop, whose epoll instance a child would share; netlink_sockets.py says when they are closed.

The library is imported by the functions that need it: that takes 0.2 s, which a shim that wakes up would wait for and
never use. The fork server has it already (netlink_events.py imports it).
"""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from minirun.kernel import netlink_sockets

if TYPE_CHECKING:
    from pyroute2 import Conntrack, DiagSocket, IPRoute, NFTSocket

_DUMP_TRIES = 5
_NLM_F_DUMP_INTR = 0x10


@contextmanager
def rtnetlink() -> "Iterator[IPRoute]":
    """The rtnetlink(7) socket of the network namespace that the caller is in; used as `with IPRoute() as ipr` is.

    Raises OSError with the kernel's errno for a refused request, and with the kernel's own text when it gives one.
    """
    from pyroute2 import IPRoute

    with _shared("pyroute2 route", lambda: IPRoute(ext_ack=True)) as ipr:
        yield ipr


@contextmanager
def nf_tables() -> "Iterator[NFTSocket]":
    """The same for nf_tables (linux/netfilter/nf_tables.h)."""
    from pyroute2 import NFTSocket

    with _shared("pyroute2 nf_tables", NFTSocket) as nft:
        yield nft


@contextmanager
def conntrack(family: int) -> "Iterator[Conntrack]":
    """A new socket for the connection tracker's entries of an address family."""
    from pyroute2 import Conntrack

    opened = Conntrack(nfgen_family=family)
    try:
        with os_errors():
            yield opened
    finally:
        opened.close()


def sock_diag() -> "DiagSocket":
    """A new socket for questions about sockets (sock_diag(7)). The caller closes it."""
    from pyroute2 import DiagSocket

    return DiagSocket()


@contextmanager
def os_errors() -> Iterator[None]:
    """Raise pyroute2's NetlinkError as the subclass of OSError that its number means, such as FileExistsError."""
    from pyroute2.netlink.exceptions import NetlinkError

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
        if not any(message["header"]["flags"] & _NLM_F_DUMP_INTR for message in messages):
            break
    return messages


@contextmanager
def _shared(kind: str, make: Callable[[], Any]) -> Iterator[Any]:
    try:
        with os_errors():
            yield netlink_sockets.shared(kind, make)
    except OSError:
        raise
    except BaseException:  # interrupted between a request and its answer
        netlink_sockets.close_here()
        raise
