"""The DNS server's veths: how a network's bridge reaches the server that knows its names, and a container the bridge.

Each leads from a network's bridge into the server's namespace, and its name follows from the network's id. The last
step of making one gives its host end a MAC address that encodes the namespace it leads to. So a veth with that address
is complete, and not one of an earlier namespace that the kernel is still taking apart.

Containers know the server as 127.0.0.11. A route leads that address out of the container, to the server's veth; on the
bridge the address is translated to the server's own and back (firewall/antispoof.py), so neither the host nor the
server ever sees packets with a loopback address. The container's interface has to accept replies from 127.0.0.11
(route_localnet); the bridge drops frames to any other loopback address, so neighbours cannot use that setting.
"""

import os
import time
from collections.abc import Iterable
from contextlib import suppress
from ipaddress import IPv4Address

from minirun.instance import Instance
from minirun.kernel.links import (
    bridge_port_add,
    link_address_write,
    link_del,
    link_route_add,
    link_up,
    local_route_add,
    veth_add,
)
from minirun.kernel.netns import entered, netns_inode, netns_open
from minirun.kernel.sockets import link_state
from minirun.kernel.sysctl import sysctl_ensure
from minirun.model import DEFAULT_NETWORK, Endpoint, Network
from minirun.store.activity import UsedNetwork

HOST_NAME = "host.minirun.internal"  # resolves to the gateway
DNS_SERVER = IPv4Address("169.254.53.53")  # the server's address in its namespace
DNS_ADDRESS = IPv4Address("127.0.0.11")  # the server's address in containers, which is Docker's
MAC_PREFIX = "02:53"  # of both ends of the veths
_LAST_VETH = 5.0  # seconds that a veth into the last server's namespace may still exist
EndpointInNetwork = tuple[Endpoint, Network]


def first_with_names(endpoints: Iterable[EndpointInNetwork]) -> EndpointInNetwork | None:
    """Return the first endpoint on a network with names: through it a sandbox reaches the server."""
    return next((pair for pair in endpoints if has_names(pair[1])), None)


def has_names(network: Network | UsedNetwork) -> bool:
    """Return whether the server knows the network's members: on every bridge network but the default one."""
    return network.driver == "bridge" and network.name != DEFAULT_NETWORK


def endpoints_with_networks(instance: Instance, sandbox: str) -> list[EndpointInNetwork]:
    """Return the sandbox's endpoints with their networks, in the order of their interfaces."""
    store = instance.store
    pairs = ((endpoint, store.network(endpoint.network)) for endpoint in store.endpoints(sandbox=sandbox))
    return [(endpoint, network) for endpoint, network in pairs if network]


def dns_veth_name(network: Network | UsedNetwork) -> str:
    """Return the veth's name, the same at both ends."""
    return f"mrd-{network.id[:10]}"


def ensure_veth(instance: Instance, network: Network) -> None:
    """Have the network's veth. The caller holds a connection to the server (server_control.py), so it stays."""
    if _is_complete(instance, network):
        return
    name = dns_veth_name(network)
    _add(instance, network)
    sysctl_ensure(f"net/ipv6/conf/{name}/disable_ipv6", "1")
    _configure_server_end(instance, network)
    link_address_write(name, _host_end_mac(instance))


def remove_veth(network: Network) -> None:
    """Remove the network's veth; none there is fine."""
    if link_state(dns_veth_name(network))[0]:
        link_del(dns_veth_name(network))


def reattach_veth(instance: Instance, network: Network) -> None:
    """Have the network's veth attached to its bridge, which may be a new one."""
    ensure_veth(instance, network)
    bridge_port_add(dns_veth_name(network), network.bridge)


def ensure_route(interface: str) -> bool:
    """In a container, add the route of DNS_ADDRESS by an interface that is up; return whether it was missing."""
    sysctl_ensure(f"net/ipv4/conf/{interface}/route_localnet", "1")
    try:
        local_route_add(interface, DNS_ADDRESS, DNS_SERVER)
    except FileExistsError:
        return False
    return True


def _is_complete(instance: Instance, network: Network) -> bool:
    return link_state(dns_veth_name(network))[0] == _host_end_mac(instance)


def _add(instance: Instance, network: Network) -> None:
    name, netns = dns_veth_name(network), instance.dns_netns
    alias = f"{instance.label} DNS server in network {network.name} {network.id[:12]}"
    deadline = time.monotonic() + _LAST_VETH
    fd = netns_open(netns)
    try:
        while True:
            try:
                veth_add(name, network.bridge, name, _server_end_mac(network), network.mtu, netns, fd, alias)
                return
            except FileExistsError:
                with entered(netns):
                    present, _ = link_state(name)
                if present:  # made by another start, which may have been killed half way
                    return
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.005)
    finally:
        os.close(fd)


def _configure_server_end(instance: Instance, network: Network) -> None:
    """In the server's namespace: set the link up and add the route to the network's members."""
    with entered(instance.dns_netns):
        link_up(dns_veth_name(network))
        with suppress(FileExistsError):
            link_route_add(dns_veth_name(network), network.subnet)


def _server_end_mac(network: Network) -> str:
    """Fixed, so that the containers' ARP caches stay right when the veth is made again."""
    return f"{MAC_PREFIX}:" + ":".join(network.id[i : i + 2] for i in range(0, 8, 2))


def _host_end_mac(instance: Instance) -> str:
    """Derived from the inode of the namespace that is pinned now; "-" when none is."""
    try:
        inode = netns_inode(instance.dns_netns)
    except OSError:
        return "-"
    return f"{MAC_PREFIX}:" + (inode & 0xFFFFFFFF).to_bytes(4, "big").hex(":")
