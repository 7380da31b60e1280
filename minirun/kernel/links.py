"""Changes of links, addresses and routes, in the words of ip-link(8), ip-address(8) and ip-route(8).

Each function works in the network namespace that the caller is in, by one request unless it says otherwise. Adding
raises FileExistsError when the object exists; deleting accepts that it is gone.
"""

import errno
import socket
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface
from typing import Any

from minirun.kernel.netlink_sockets import rtnetlink
from minirun.kernel.seam import shell

_IFA_F_NODAD = 0x02  # linux/if_addr.h
_BR_BOOLOPT_NO_LL_LEARN = 1 << 0  # linux/if_bridge.h
_MACVLAN_MODES = ("private", "vepa", "bridge", "passthru")
_TABLE_LOCAL = 255  # linux/rtnetlink.h, RT_TABLE_LOCAL


@shell(
    "ip link add {name} address {mac} mtu {mtu} type bridge no_linklocal_learn 1 && ip link set {name} alias {alias}"
)
def bridge_add(name: str, mac: str, alias: str, mtu: int) -> None:
    """Add a bridge, by two requests (see `_set_alias`).

    It learns addresses only from frames that it forwards: others pass none of its hooks, so no rule can drop them.
    """
    learning = {"optval": _BR_BOOLOPT_NO_LL_LEARN, "optmask": _BR_BOOLOPT_NO_LL_LEARN}
    with rtnetlink() as ipr:
        ipr.link("add", ifname=name, kind="bridge", address=mac, mtu=mtu, br_multi_boolopt=learning)
    _set_alias(name, alias)


@shell(
    "ip link add {name} master {bridge} up type veth peer name {peer} address {mac} mtu {mtu} netns {netns}"
    " && ip link set {name} alias {alias} mtu {mtu}"
)
def veth_add(
    name: str,
    bridge: str,
    peer: str,
    mac: str,
    mtu: int,
    netns: str,
    netns_fd: int,
    alias: str,
) -> None:
    """Add a veth pair: the host's end is on the bridge and up, the peer is *created* in the namespace `netns_fd`.

    By two requests (see `_set_alias`). Creating takes about 1 ms; moving an end afterwards takes about 55 ms (an RCU
    grace period).
    """
    inside = {"ifname": peer, "address": mac, "mtu": mtu, "net_ns_fd": netns_fd}
    master = socket.if_nametoindex(bridge)
    with rtnetlink() as ipr:
        ipr.link("add", ifname=name, kind="veth", master=master, mtu=mtu, state="up", peer=inside)
    _set_alias(name, alias)


@shell("ip link add {name} type veth peer name {peer}")
def pair_add(name: str, peer: str) -> None:
    """Add a veth pair, both ends here and down (veth(4))."""
    with rtnetlink() as ipr:
        ipr.link("add", ifname=name, kind="veth", peer={"ifname": peer})


@shell("ip link set {name} netns {netns}")
def link_move(name: str, netns: str, netns_fd: int) -> None:
    """Move a link to another namespace, where it is down and has no addresses.

    Raises FileExistsError when that namespace has a link of this name.
    """
    with rtnetlink() as ipr:
        ipr.link("set", ifname=name, net_ns_fd=netns_fd)


@shell("ip link set {name} netns {pid}")
def link_give(name: str, pid: int) -> None:
    """Move a link to the namespace of a process."""
    with rtnetlink() as ipr:
        ipr.link("set", ifname=name, net_ns_pid=pid)


@shell("ip link add {name} link {parent} address {mac} mtu {mtu} netns {netns} type macvlan mode {mode}")
def macvlan_add(name: str, parent: str, mode: str, mac: str, mtu: int, netns: str, netns_fd: int) -> None:
    """Create a macvlan link, a second hardware address on the parent's wire, in the namespace `netns_fd`.

    `mode` is private, vepa, bridge or passthru.
    """
    link = {"link": socket.if_nametoindex(parent), "address": mac, "mtu": mtu, "net_ns_fd": netns_fd}
    with rtnetlink() as ipr:
        ipr.link("add", ifname=name, kind="macvlan", macvlan_mode=mode, **link)


@shell("ip link set {name} master {bridge} up")
def bridge_port_add(name: str, bridge: str) -> None:
    """Make a link a port of the bridge and set it up; one that is a port already stays as it is."""
    with rtnetlink() as ipr:
        ipr.link("set", index=socket.if_nametoindex(name), master=socket.if_nametoindex(bridge), state="up")


@shell("ip link set {name} type bridge_slave hairpin on")
def hairpin_on(name: str) -> None:
    """Let a frame leave by the port it came in by: a container that reaches itself by the host's published port.

    Needed where br_netfilter is loaded: it translates addresses on the bridge, before routing could see the packet.
    """
    with rtnetlink() as ipr:
        ipr.brport("set", index=socket.if_nametoindex(name), mode=1)  # IFLA_BRPORT_MODE


@shell("ip link set {name} up")
def link_up(name: str) -> None:
    """Set a link up."""
    with rtnetlink() as ipr:
        ipr.link("set", index=socket.if_nametoindex(name), state="up")


@shell("ip link set {name} address {mac}")
def link_address_write(name: str, mac: str) -> None:
    """Change a link's hardware address."""
    with rtnetlink() as ipr:
        ipr.link("set", index=socket.if_nametoindex(name), address=mac)


@shell("ip link del {name}")
def link_del(name: str) -> None:
    """Delete a link, and with it a veth's other end."""
    try:
        with rtnetlink() as ipr:
            ipr.link("del", ifname=name)
    except OSError as error:
        if error.errno != errno.ENODEV:
            raise


@shell("ip address add {address} dev {name} nodad")
def address_add(name: str, address: IPv4Interface | IPv6Interface) -> None:
    """Add an address, usable at once.

    `nodad` skips duplicate address detection, which takes seconds: the record says that nobody else has the address.
    """
    words = {"address": str(address.ip), "prefixlen": address.network.prefixlen}
    if address.version == 4:
        words["broadcast"] = str(address.network.broadcast_address)
    else:
        words |= {"local": str(address.ip), "flags": _IFA_F_NODAD}
    with rtnetlink() as ipr:
        ipr.addr("add", index=socket.if_nametoindex(name), **words)


@shell("ip route add default via {gateway} dev {name} proto static")
def default_route_add(name: str, gateway: IPv4Address | IPv6Address) -> None:
    """Add the default route of the gateway's address family."""
    _default_route("add", name, gateway)


@shell("ip route replace default via {gateway} dev {name} proto static")
def default_route_replace(name: str, gateway: IPv4Address | IPv6Address) -> None:
    """Add the default route of the gateway's address family, or change it."""
    _default_route("replace", name, gateway)


@shell("ip route add {target} dev {name} proto static scope link")
def link_route_add(name: str, target: IPv4Network) -> None:
    """Add a route without a gateway: `target` is reached directly on this link."""
    with rtnetlink() as ipr:
        ipr.route("add", dst=str(target), oif=socket.if_nametoindex(name), proto="static", scope="link")


@shell("ip route add {target} via {gateway} dev {name} onlink proto static table local")
def local_route_add(name: str, target: IPv4Address, gateway: IPv4Address) -> None:
    """Send packets to `target`, an address that is this namespace's own (127.0.0.0/8), to a neighbour on this link."""
    with rtnetlink() as ipr:
        route: dict[str, Any] = {"dst": f"{target}/32", "gateway": str(gateway), "oif": socket.if_nametoindex(name)}
        ipr.route("add", **route, flags=["onlink"], proto="static", table=_TABLE_LOCAL)


def _default_route(command: str, name: str, gateway: IPv4Address | IPv6Address) -> None:
    family = socket.AF_INET if gateway.version == 4 else socket.AF_INET6
    with rtnetlink() as ipr:
        ipr.route(command, family=family, gateway=str(gateway), oif=socket.if_nametoindex(name), proto="static")


def _set_alias(name: str, alias: str) -> None:
    """In a request of its own: the kernel ignores IFLA_IFALIAS in one that creates a link."""
    with rtnetlink() as ipr:
        ipr.link("set", ifname=name, ifalias=alias)
