"""The host as a router: what its containers reach the outside by."""

from collections.abc import Iterable

from minirun.kernel.sysctl import sysctl_ensure, sysctl_names, sysctl_read, sysctl_write
from minirun.model import Network

_ALL6 = "net.ipv6.conf.all.forwarding"


def ensure(networks: Iterable[Network]) -> list[str]:
    """Have the kernel forward for these networks. Returns what was changed, in words."""
    outward = [net for net in networks if net.bridge and not net.internal]
    notes = []
    if any(net.pool for net in outward) and sysctl_ensure("net.ipv4.ip_forward", "1"):
        notes.append("minirun turned on net.ipv4.ip_forward: containers reach the outside through this host")
    if any(net.pool6 for net in outward) and sysctl_read(_ALL6) == "0":
        kept = _keep_advertised_routes()
        sysctl_write(_ALL6, "1")
        also = f"; accept_ra is 2 on {', '.join(kept)}, so that router advertisements still count there" if kept else ""
        notes.append(f"minirun turned on {_ALL6}: containers reach the outside through this host{also}")
    return notes


def _keep_advertised_routes() -> list[str]:
    """A router believes no router advertisements: turning forwarding on would take the default route from a host that
    has learned it from one. With accept_ra=2 an interface believes them all the same (ip-sysctl.rst)."""
    links = [name for name in sysctl_names("net/ipv6/conf") if name not in ("all", "default", "lo")]
    found = [
        name
        for name in links
        if sysctl_read(f"net/ipv6/conf/{name}/accept_ra") == "1"
        and sysctl_read(f"net/ipv6/conf/{name}/disable_ipv6") == "0"
    ]
    for name in found:
        sysctl_write(f"net/ipv6/conf/{name}/accept_ra", "2")
    return found
