"""Links, addresses and routes, in the words of ip-link(8), ip-address(8) and ip-route(8).

Each function works in the network namespace that `netlink` was opened in. Adding fails with FileExistsError when
the object is there; deleting what is gone already is fine.
"""

import errno
import socket
import struct
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface

from minirun.kernel.netlink import NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE, Netlink, attribute, nested
from minirun.kernel.seam import shell

IFF_UP = 0x1
_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
_NEW = NLM_F_CREATE | NLM_F_EXCL
# linux/rtnetlink.h, linux/if_link.h, linux/if_addr.h, linux/veth.h, linux/if_bridge.h
_RTM_NEWLINK, _RTM_DELLINK, _RTM_NEWADDR, _RTM_NEWROUTE = 16, 17, 20, 24
_LINK = struct.Struct("=BxHiII")  # struct ifinfomsg: family, type, index, flags, change
_ADDRESS = struct.Struct("=BBBBI")  # struct ifaddrmsg: family, prefixlen, flags, scope, index
_ROUTE = struct.Struct("=BBBBBBBBI")  # struct rtmsg: family, dst_len, src_len, tos, table, protocol, scope, type, flags
_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_MTU, _IFLA_LINK, _IFLA_MASTER, _IFLA_LINKINFO = 1, 3, 4, 5, 10, 18
_IFLA_NET_NS_PID, _IFLA_IFALIAS, _IFLA_NET_NS_FD = 19, 20, 28
_IFLA_INFO_KIND, _IFLA_INFO_DATA, _IFLA_INFO_SLAVE_KIND, _IFLA_INFO_SLAVE_DATA = 1, 2, 4, 5
_VETH_INFO_PEER, _IFLA_MACVLAN_MODE, _IFLA_BRPORT_MODE, _IFLA_BR_MULTI_BOOLOPT = 1, 1, 4, 46
_MACVLAN_MODES = {"private": 1, "vepa": 2, "bridge": 4, "passthru": 8}
_NO_LL_LEARN = 0x1  # of struct br_boolopt_multi
_IFA_ADDRESS, _IFA_LOCAL, _IFA_BROADCAST, _IFA_F_NODAD = 1, 2, 4, 0x02
_RTA_DST, _RTA_OIF, _RTA_GATEWAY = 1, 4, 5
_RT_TABLE_MAIN, _RTPROT_STATIC, _RT_SCOPE_UNIVERSE, _RT_SCOPE_LINK, _RTN_UNICAST = 254, 4, 0, 253, 1


@shell(
    "ip link add {name} address {mac} mtu {mtu} type bridge no_linklocal_learn 1 && ip link set {name} alias {alias}"
)
def bridge_add(netlink: Netlink, name: str, mac: str, alias: str, mtu: int) -> None:
    """It learns only from frames that it passes on: the others pass none of its hooks, so no rule can drop them."""
    learning = attribute(_IFLA_BR_MULTI_BOOLOPT, struct.pack("=II", _NO_LL_LEARN, _NO_LL_LEARN))
    words = _name(name) + _mac(mac) + _number(_IFLA_MTU, mtu) + _kind("bridge", learning)
    netlink.request(_RTM_NEWLINK, _link() + words, _NEW)
    _set_alias(netlink, name, alias)


@shell(
    "ip link add {name} master {bridge} up type veth peer name {peer} address {mac} mtu {mtu} netns {netns}"
    " && ip link set {name} alias {alias} mtu {mtu}"
)
def veth_add(
    netlink: Netlink,
    name: str,
    bridge: str,
    peer: str,
    mac: str,
    mtu: int,
    netns: str,
    netns_fd: int,
    alias: str,
) -> None:
    """A veth pair in one request: the host's end is on the bridge and up, the peer is *born* in the namespace.

    Moving an end afterwards costs about 55 ms (an RCU grace period); this costs about one.
    """
    inside = _name(peer) + _mac(mac) + _number(_IFLA_MTU, mtu) + _number(_IFLA_NET_NS_FD, netns_fd)
    words = _name(name) + _number(_IFLA_MASTER, socket.if_nametoindex(bridge)) + _number(_IFLA_MTU, mtu)
    words += _kind("veth", attribute(_VETH_INFO_PEER, _link() + inside))
    netlink.request(_RTM_NEWLINK, _link(up=True) + words, _NEW)
    _set_alias(netlink, name, alias)


@shell("ip link add {name} type veth peer name {peer}")
def pair_add(netlink: Netlink, name: str, peer: str) -> None:
    """A veth pair, both ends here, and neither up (veth(4))."""
    other_end = attribute(_VETH_INFO_PEER, _link() + _name(peer))
    netlink.request(_RTM_NEWLINK, _link() + _name(name) + _kind("veth", other_end), _NEW)


@shell("ip link set {name} netns {netns}")
def link_move(netlink: Netlink, name: str, netns: str, netns_fd: int) -> None:
    """Into another namespace: it is gone from this one, without its addresses, and down. FileExistsError when one of
    that name is there."""
    netlink.request(_RTM_NEWLINK, _link() + _name(name) + _number(_IFLA_NET_NS_FD, netns_fd))


@shell("ip link set {name} netns {pid}")
def link_give(netlink: Netlink, name: str, pid: int) -> None:
    """Into the namespace of a process."""
    netlink.request(_RTM_NEWLINK, _link() + _name(name) + _number(_IFLA_NET_NS_PID, pid))


@shell("ip link add {name} link {parent} address {mac} mtu {mtu} netns {netns} type macvlan mode {mode}")
def macvlan_add(
    netlink: Netlink, name: str, parent: str, mode: str, mac: str, mtu: int, netns: str, netns_fd: int
) -> None:
    """A second hardware address on the parent's wire, born in the namespace."""
    words = _name(name) + _number(_IFLA_LINK, socket.if_nametoindex(parent)) + _mac(mac) + _number(_IFLA_MTU, mtu)
    words += _number(_IFLA_NET_NS_FD, netns_fd) + _kind("macvlan", _number(_IFLA_MACVLAN_MODE, _MACVLAN_MODES[mode]))
    netlink.request(_RTM_NEWLINK, _link() + words, _NEW)


@shell("ip link set {name} master {bridge} up")
def bridge_port_add(netlink: Netlink, name: str, bridge: str) -> None:
    """Make a link that is there a port of the bridge; one that is stays as it is."""
    master = _number(_IFLA_MASTER, socket.if_nametoindex(bridge))
    netlink.request(_RTM_NEWLINK, _link(name, up=True) + master)


@shell("ip link set {name} type bridge_slave hairpin on")
def hairpin_on(netlink: Netlink, name: str) -> None:
    """Let a frame leave by the port it came in: a container that reaches itself by the host's published port.

    Needed where br_netfilter is loaded: it then translates on the bridge, and never hands the packet to routing.
    """
    slave = _text(_IFLA_INFO_SLAVE_KIND, "bridge")
    slave += nested(_IFLA_INFO_SLAVE_DATA, attribute(_IFLA_BRPORT_MODE, b"\1"))
    netlink.request(_RTM_NEWLINK, _link(name) + nested(_IFLA_LINKINFO, slave))


@shell("ip link set {name} up")
def link_up(netlink: Netlink, name: str) -> None:
    netlink.request(_RTM_NEWLINK, _link(name, up=True))


@shell("ip link del {name}")
def link_del(netlink: Netlink, name: str) -> None:
    try:
        netlink.request(_RTM_DELLINK, _link() + _name(name))
    except OSError as error:
        if error.errno != errno.ENODEV:
            raise


@shell("ip address add {address} dev {name} nodad")
def address_add(netlink: Netlink, name: str, address: IPv4Interface | IPv6Interface) -> None:
    """Usable at once: that nobody else has it is known from the record (duplicate address detection takes seconds)."""
    flags = _IFA_F_NODAD if address.version == 6 else 0
    index = socket.if_nametoindex(name)
    message = _ADDRESS.pack(_FAMILIES[address.version], address.network.prefixlen, flags, _RT_SCOPE_UNIVERSE, index)
    message += attribute(_IFA_LOCAL, address.ip.packed) + attribute(_IFA_ADDRESS, address.ip.packed)
    if address.version == 4:
        message += attribute(_IFA_BROADCAST, address.network.broadcast_address.packed)
    netlink.request(_RTM_NEWADDR, message, _NEW)


@shell("ip route add default via {gateway} dev {name} proto static")
def default_route_add(netlink: Netlink, name: str, gateway: IPv4Address | IPv6Address) -> None:
    netlink.request(_RTM_NEWROUTE, _default_route(name, gateway), _NEW)


def _default_route(name: str, gateway: IPv4Address | IPv6Address) -> bytes:
    message = _route(_FAMILIES[gateway.version], 0, _RT_SCOPE_UNIVERSE)
    return message + attribute(_RTA_GATEWAY, gateway.packed) + _number(_RTA_OIF, socket.if_nametoindex(name))


@shell("ip route replace default via {gateway} dev {name} proto static")
def default_route_replace(netlink: Netlink, name: str, gateway: IPv4Address | IPv6Address) -> None:
    netlink.request(_RTM_NEWROUTE, _default_route(name, gateway), NLM_F_CREATE | NLM_F_REPLACE)


@shell("ip route add {target} dev {name} proto static scope link")
def link_route_add(netlink: Netlink, name: str, target: IPv4Network) -> None:
    """On this link, without a gateway."""
    message = _route(socket.AF_INET, target.prefixlen, _RT_SCOPE_LINK)
    message += attribute(_RTA_DST, target.network_address.packed) + _number(_RTA_OIF, socket.if_nametoindex(name))
    netlink.request(_RTM_NEWROUTE, message, _NEW)


@shell("ip link set {name} address {mac}")
def link_address_write(netlink: Netlink, name: str, mac: str) -> None:
    netlink.request(_RTM_NEWLINK, _link(name) + _mac(mac))


def _set_alias(netlink: Netlink, name: str, alias: str) -> None:
    """In a request of its own: the kernel passes over IFLA_IFALIAS in one that creates a link."""
    netlink.request(_RTM_NEWLINK, _link(name) + attribute(_IFLA_IFALIAS, alias.encode()))


def _link(name: str = "", up: bool = False) -> bytes:
    """The fixed part: of the link of that name, or of one that an attribute names."""
    flags = IFF_UP if up else 0
    return _LINK.pack(socket.AF_UNSPEC, 0, socket.if_nametoindex(name) if name else 0, flags, flags)


def _route(family: int, prefix: int, scope: int) -> bytes:
    return _ROUTE.pack(family, prefix, 0, 0, _RT_TABLE_MAIN, _RTPROT_STATIC, scope, _RTN_UNICAST, 0)


def _kind(kind: str, data: bytes) -> bytes:
    return nested(_IFLA_LINKINFO, _text(_IFLA_INFO_KIND, kind), nested(_IFLA_INFO_DATA, data))


def _name(name: str) -> bytes:
    return _text(_IFLA_IFNAME, name)


def _mac(address: str) -> bytes:
    return attribute(_IFLA_ADDRESS, bytes.fromhex(address.replace(":", "")))


def _number(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack("=I", value))


def _text(kind: int, text: str) -> bytes:
    return attribute(kind, text.encode() + b"\0")
