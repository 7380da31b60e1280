"""pyroute2's sockets, for questions whose answers have much to decode (netlink.py has the requests of a start).

They run an asyncio loop, whose epoll instance a child would share; netlink_sockets.py says when they are closed.
"""

import atexit
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from pyroute2 import IPRoute, NFTSocket
from pyroute2.netlink import NLM_F_DUMP_INTR
from pyroute2.netlink.exceptions import NetlinkError

from minirun.kernel import netlink_sockets

_DUMP_TRIES = 5


@contextmanager
def rtnetlink() -> Iterator[IPRoute]:
    """The rtnetlink(7) socket of the network namespace that the caller is in; used as `with IPRoute() as ipr` is.

    Raises OSError with the kernel's errno for a refused request, and with the kernel's own text when it gives one.
    """
    with _shared("pyroute2 route", lambda: IPRoute(ext_ack=True)) as ipr:
        yield ipr


@contextmanager
def nf_tables() -> Iterator[NFTSocket]:
    """The same for nf_tables (linux/netfilter/nf_tables.h)."""
    with _shared("pyroute2 nf_tables", NFTSocket) as nft:
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


atexit.register(netlink_sockets.close_all)
