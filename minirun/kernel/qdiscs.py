"""Queueing disciplines of links: a rate (tbf(8) of tc), or a delay (netem(8)), in the words of tc(8).

Both shape what leaves by a link. A veth has none by itself (noqueue). What is added here has a handle of minirun's own,
so a discipline that somebody else has added is never removed.
"""

import errno
import os
from typing import Any

from pyroute2.netlink.rtnl.tcmsg import sched_netem

from minirun.kernel import netlink_sockets
from minirun.kernel.netlink_sockets import rtnetlink
from minirun.kernel.netns import SELF, netns_nameless
from minirun.kernel.seam import shell
from minirun.kernel.sockets import interface_index
from minirun.kernel.syscalls import check, lib

_HANDLE = 0x4D520000  # 4d52:, "MR"
_GONE = (errno.ENOENT, errno.EINVAL, errno.ENODEV)  # none of this handle ("Invalid handle"), or the link has gone
_TICKS = 0.01  # seconds whose bytes tbf may send at once; and
_QUEUE = 0.2  # seconds that a packet may wait for its turn, before it is dropped
_LEAST_BURST = 4000  # bytes: two packets of 1500, and some room; larger ones are segmented
_NO_LINK = 0x7FFFFFFF  # an index that no link has
_PACKETS = 10_000  # that netem holds: 1000 would be a limit of the rate at a delay of a second


@shell("tc qdisc replace dev {name} root handle 4d52: tbf rate {rate}bit burst {burst}b limit {limit}b")
def tbf_replace(name: str, rate: int, burst: int, limit: int) -> None:
    """Limit what leaves by a link to `rate` bits in a second. `burst` and `limit`: bytes at once, and in the queue."""
    _replace(name, "tbf", rate=rate // 8, burst=burst, limit=limit)


@shell("tc qdisc replace dev {name} root handle 4d52: netem delay {delay}us {jitter}us rate {rate}bit limit 10000")
def netem_replace(name: str, delay: int, jitter: int, rate: int) -> None:
    """Delay what leaves by a link, by `delay` microseconds, plus or minus `jitter`; limit it to `rate`, 0 for not."""
    _replace(name, "netem", **_netem(delay, jitter, rate))


@shell("tc qdisc del dev {name} root handle 4d52:")
def qdisc_del(name: str) -> None:
    """Remove what the functions above have added; none there, or no such link, is fine."""
    try:
        with rtnetlink() as ipr:
            ipr.tc("del", index=interface_index(name) or _NO_LINK, handle=_HANDLE, root=True)
    except OSError as error:
        if error.errno not in _GONE:
            raise


def tbf_sizes(rate: int) -> tuple[int, int]:
    """Return burst and limit, in bytes, that suit a rate of bits in a second."""
    burst = max(_LEAST_BURST, int(rate / 8 * _TICKS))
    return burst, burst + max(_LEAST_BURST, int(rate / 8 * _QUEUE))


def has_qdisc(kind: str) -> bool:
    """Return whether the kernel has this discipline, netem or tbf; its module is loaded if there is one.

    It is tried on the loopback of a new network namespace, which goes at once.
    """
    home = os.open(SELF, os.O_RDONLY | os.O_CLOEXEC)
    trial = netns_nameless()
    try:
        check(lib.sys_setns(trial, lib.CLONE_NEWNET))
        try:
            _replace("lo", kind, **_TRIALS[kind])
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.EOPNOTSUPP):
                raise
            return False
        finally:
            netlink_sockets.close_here()
            check(lib.sys_setns(home, lib.CLONE_NEWNET))
        return True
    finally:
        os.close(trial)
        os.close(home)


def _netem(delay: int, jitter: int, rate: int) -> dict[str, Any]:
    options = {"delay": delay, "jitter": jitter, "limit": _PACKETS}
    return options | ({"rate": rate // 8} if rate else {})


_TRIALS: dict[str, dict[str, Any]] = {
    "netem": _netem(1000, 0, 0),
    "tbf": {"rate": 125_000, "burst": 4000, "limit": 8000},
}


def _replace(name: str, kind: str, **options: Any) -> None:
    with rtnetlink() as ipr:
        ipr.tc("replace", kind, interface_index(name) or _NO_LINK, _HANDLE, root=True, **options)


def _without_rate(request: dict[str, Any]) -> None:
    request.pop("rate", None)


# pyroute2 0.9.7 puts netem's rate into the options, and again as TCA_RATE, which it cannot encode. For tbf it has this.
sched_netem.fix_request = _without_rate
