"""Links, addresses and routes, in the words of ip-link(8), ip-address(8) and ip-route(8).

Each function works in the network namespace that `netlink` was opened in. Adding fails with FileExistsError when
the object is there; deleting what is gone already is fine.
"""

import errno
import socket
import struct
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface

from minirun.kernel.netlink import (
    NLM_F_CREATE,
    NLM_F_EXCL,
    NLM_F_REPLACE,
    RTM_DELLINK,
    RTM_NEWADDR,
    RTM_NEWLINK,
    RTM_NEWROUTE,
    Netlink,
    ifaddrmsg,
    ifinfmsg,
    rtmsg,
)
from minirun.kernel.seam import shell

IFF_UP = 0x1
_IFA_F_NODAD = 0x2
_NO_LL_LEARN = 0x1  # linux/if_bridge.h
_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
_NEW = NLM_F_CREATE | NLM_F_EXCL


@shell(
    "ip link add {name} address {mac} mtu {mtu} type bridge no_linklocal_learn 1 && ip link set {name} alias {alias}"
)
def bridge_add(netlink: Netlink, name: str, mac: str, alias: str, mtu: int) -> None:
    """It learns only from frames that it passes on: the others pass none of its hooks, so no rule can drop them."""
    learning = ["IFLA_BR_MULTI_BOOLOPT", struct.pack("=II", _NO_LL_LEARN, _NO_LL_LEARN)]
    message = ifinfmsg()
    message["attrs"] = [
        ["IFLA_IFNAME", name],
        ["IFLA_ADDRESS", mac],
        ["IFLA_MTU", mtu],
        ["IFLA_LINKINFO", {"attrs": [["IFLA_INFO_KIND", "bridge"], ["IFLA_INFO_DATA", {"attrs": [learning]}]]}],
    ]
    netlink.request(message, RTM_NEWLINK, _NEW)
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
    inside = [["IFLA_IFNAME", peer], ["IFLA_ADDRESS", mac], ["IFLA_MTU", mtu], ["IFLA_NET_NS_FD", netns_fd]]
    message = ifinfmsg()
    message["flags"] = message["change"] = IFF_UP
    message["attrs"] = [
        ["IFLA_IFNAME", name],
        ["IFLA_MASTER", socket.if_nametoindex(bridge)],
        ["IFLA_MTU", mtu],
        [
            "IFLA_LINKINFO",
            {
                "attrs": [
                    ["IFLA_INFO_KIND", "veth"],
                    ["IFLA_INFO_DATA", {"attrs": [["VETH_INFO_PEER", {"attrs": inside}]]}],
                ]
            },
        ],
    ]
    netlink.request(message, RTM_NEWLINK, _NEW)
    _set_alias(netlink, name, alias)


@shell("ip link add {name} type veth peer name {peer}")
def pair_add(netlink: Netlink, name: str, peer: str) -> None:
    """A veth pair, both ends here, and neither up (veth(4))."""
    ends = ["IFLA_INFO_DATA", {"attrs": [["VETH_INFO_PEER", {"attrs": [["IFLA_IFNAME", peer]]}]]}]
    message = ifinfmsg()
    message["attrs"] = [["IFLA_IFNAME", name], ["IFLA_LINKINFO", {"attrs": [["IFLA_INFO_KIND", "veth"], ends]}]]
    netlink.request(message, RTM_NEWLINK, _NEW)


@shell("ip link set {name} netns {netns}")
def link_move(netlink: Netlink, name: str, netns: str, netns_fd: int) -> None:
    """Into another namespace: it is gone from this one, without its addresses, and down. FileExistsError when one of
    that name is there."""
    message = ifinfmsg()
    message["attrs"] = [["IFLA_IFNAME", name], ["IFLA_NET_NS_FD", netns_fd]]
    netlink.request(message, RTM_NEWLINK)


@shell("ip link set {name} netns {pid}")
def link_give(netlink: Netlink, name: str, pid: int) -> None:
    """Into the namespace of a process."""
    message = ifinfmsg()
    message["attrs"] = [["IFLA_IFNAME", name], ["IFLA_NET_NS_PID", pid]]
    netlink.request(message, RTM_NEWLINK)


@shell("ip link add {name} link {parent} address {mac} mtu {mtu} netns {netns} type macvlan mode {mode}")
def macvlan_add(
    netlink: Netlink, name: str, parent: str, mode: str, mac: str, mtu: int, netns: str, netns_fd: int
) -> None:
    """A second hardware address on the parent's wire, born in the namespace."""
    kind = ["IFLA_LINKINFO", {"attrs": [["IFLA_INFO_KIND", "macvlan"]]}]
    kind[1]["attrs"].append(["IFLA_INFO_DATA", {"attrs": [["IFLA_MACVLAN_MODE", mode]]}])  # type: ignore[index]
    message = ifinfmsg()
    message["attrs"] = [
        ["IFLA_IFNAME", name],
        ["IFLA_LINK", socket.if_nametoindex(parent)],
        ["IFLA_ADDRESS", mac],
        ["IFLA_MTU", mtu],
        ["IFLA_NET_NS_FD", netns_fd],
        kind,
    ]
    netlink.request(message, RTM_NEWLINK, _NEW)


@shell("ip link set {name} master {bridge} up")
def bridge_port_add(netlink: Netlink, name: str, bridge: str) -> None:
    """Make a link that is there a port of the bridge; one that is stays as it is."""
    message = ifinfmsg()
    message["index"] = socket.if_nametoindex(name)
    message["flags"] = message["change"] = IFF_UP
    message["attrs"] = [["IFLA_MASTER", socket.if_nametoindex(bridge)]]
    netlink.request(message, RTM_NEWLINK)


@shell("ip link set {name} type bridge_slave hairpin on")
def hairpin_on(netlink: Netlink, name: str) -> None:
    """Let a frame leave by the port it came in: a container that reaches itself by the host's published port.

    Needed where br_netfilter is loaded: it then translates on the bridge, and never hands the packet to routing.
    """
    message = ifinfmsg()
    message["index"] = socket.if_nametoindex(name)
    slave = [
        ["IFLA_INFO_SLAVE_KIND", "bridge"],
        ["IFLA_INFO_SLAVE_DATA", {"attrs": [["IFLA_BRPORT_MODE", 1]]}],
    ]
    message["attrs"] = [["IFLA_LINKINFO", {"attrs": slave}]]
    netlink.request(message, RTM_NEWLINK)


@shell("ip link set {name} up")
def link_up(netlink: Netlink, name: str) -> None:
    message = ifinfmsg()
    message["index"] = socket.if_nametoindex(name)
    message["flags"] = message["change"] = IFF_UP
    netlink.request(message, RTM_NEWLINK)


@shell("ip link del {name}")
def link_del(netlink: Netlink, name: str) -> None:
    message = ifinfmsg()
    message["attrs"] = [["IFLA_IFNAME", name]]
    try:
        netlink.request(message, RTM_DELLINK)
    except OSError as error:
        if error.errno != errno.ENODEV:
            raise


@shell("ip address add {address} dev {name} nodad")
def address_add(netlink: Netlink, name: str, address: IPv4Interface | IPv6Interface) -> None:
    """Usable at once: that nobody else has it is known from the record (duplicate address detection takes seconds)."""
    message = ifaddrmsg()
    message["family"] = _FAMILIES[address.version]
    message["prefixlen"] = address.network.prefixlen
    message["index"] = socket.if_nametoindex(name)
    message["attrs"] = [["IFA_LOCAL", str(address.ip)], ["IFA_ADDRESS", str(address.ip)]]
    if address.version == 4:
        message["attrs"].append(["IFA_BROADCAST", str(address.network.broadcast_address)])
    else:
        message["flags"] = _IFA_F_NODAD
    netlink.request(message, RTM_NEWADDR, _NEW)


@shell("ip route add default via {gateway} dev {name} proto static")
def default_route_add(netlink: Netlink, name: str, gateway: IPv4Address | IPv6Address) -> None:
    netlink.request(_default_route(name, gateway), RTM_NEWROUTE, _NEW)


def _default_route(name: str, gateway: IPv4Address | IPv6Address) -> rtmsg:
    message = rtmsg()
    message["family"] = _FAMILIES[gateway.version]
    message["table"], message["proto"], message["scope"], message["type"] = 254, 4, 0, 1
    message["attrs"] = [["RTA_GATEWAY", str(gateway)], ["RTA_OIF", socket.if_nametoindex(name)]]
    return message


@shell("ip route replace default via {gateway} dev {name} proto static")
def default_route_replace(netlink: Netlink, name: str, gateway: IPv4Address | IPv6Address) -> None:
    netlink.request(_default_route(name, gateway), RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE)


@shell("ip route add {target} dev {name} proto static scope link")
def link_route_add(netlink: Netlink, name: str, target: IPv4Network) -> None:
    """On this link, without a gateway."""
    message = rtmsg()
    message["family"], message["dst_len"] = socket.AF_INET, target.prefixlen
    message["table"], message["proto"], message["scope"], message["type"] = 254, 4, 253, 1
    message["attrs"] = [["RTA_DST", str(target.network_address)], ["RTA_OIF", socket.if_nametoindex(name)]]
    netlink.request(message, RTM_NEWROUTE, _NEW)


@shell("ip link set {name} address {mac}")
def link_address_write(netlink: Netlink, name: str, mac: str) -> None:
    message = ifinfmsg()
    message["index"] = socket.if_nametoindex(name)
    message["attrs"] = [["IFLA_ADDRESS", mac]]
    netlink.request(message, RTM_NEWLINK)


def _set_alias(netlink: Netlink, name: str, alias: str) -> None:
    """In a request of its own: the kernel passes over IFLA_IFALIAS in one that creates a link."""
    message = ifinfmsg()
    message["index"] = socket.if_nametoindex(name)
    message["attrs"] = [["IFLA_IFALIAS", alias]]
    netlink.request(message, RTM_NEWLINK)
