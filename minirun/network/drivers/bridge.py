"""The network driver `bridge`: a Linux bridge for each network, a veth pair for each endpoint."""

import errno
import os
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from ipaddress import ip_interface

from minirun.errors import FAILED, MinirunError
from minirun.instance import Instance
from minirun.kernel.host_changes import host_setting_ensure
from minirun.kernel.link_queries import Interfaces, bridge_port
from minirun.kernel.links import address_add, bridge_add, bridge_port_add, hairpin_on, link_del, link_up, veth_add
from minirun.kernel.netns import entered, netns_open
from minirun.kernel.sockets import egress_mtu, interface_index, link_state
from minirun.kernel.sysctl import sysctl_ensure, sysctl_names, sysctl_read
from minirun.model import Container, Endpoint, Network, Pool4, Pool6
from minirun.network.drivers.driver_options import (
    ADDRESS,
    INTERFACE_PREFIX,
    LINK,
    LINKS,
    MTU,
    MTU_SIZE,
    PREFIX,
    SWITCH,
    check_options,
    one_of,
)
from minirun.network.firewall import policy

# Seconds to wait for the veth of a container's last run to go: the kernel destroys a dead namespace asynchronously, and
# under load only after the next start.
_VETH_SECONDS = 5.0
_PREFIX = "com.docker.network."
BRIDGE_NAME = f"{_PREFIX}bridge.name"
HOST_BINDING = f"{_PREFIX}bridge.host_binding_ipv4"
_BRIDGE_NETFILTER = ("iptables", "ip6tables")
_FORWARDING6 = "net.ipv6.conf.all.forwarding"
OPTIONS = {
    BRIDGE_NAME: LINK,
    MTU: MTU_SIZE,
    INTERFACE_PREFIX: PREFIX,
    policy.ICC: SWITCH,
    policy.MASQUERADE: SWITCH,
    HOST_BINDING: ADDRESS,
    policy.GATEWAY_MODE4: one_of(*policy.MODES),
    policy.GATEWAY_MODE6: one_of(*policy.MODES),
    policy.TRUSTED: LINKS,
    policy.ANTISPOOF: SWITCH,
}


class Bridge:
    """The driver; `Driver` in the package explains each method."""

    uses_ipam = True
    on_lan = False
    detaches_on_teardown = False

    def validate(self, instance: Instance, network: Network) -> Network:
        """Check the options; choose the bridge's name and the MTU."""
        check_options(network, OPTIONS)
        policy.check(network)
        default = instance.default_bridge if network.is_default else f"mr-{network.id[:10]}"
        bridge = network.option(BRIDGE_NAME, default)
        if bridge != default and link_state(bridge)[0]:
            raise MinirunError(f'a link named "{bridge}" exists already', f"see `ip -d link show {bridge}`")
        # The MTU of the route outside: a larger packet would be lost where ICMP is filtered (RFC 2923).
        mtu = int(network.option(MTU, "0")) or egress_mtu() or network.mtu
        return replace(network, bridge=bridge, mtu=mtu)

    def ensure(self, instance: Instance, network: Network) -> None:
        """Create the bridge, set it up and give it the gateways' addresses, as far as that is missing."""
        mac = _bridge_mac(network)
        present, up = link_state(network.bridge)
        if not present:
            try:
                bridge_add(
                    network.bridge, mac, f"{instance.label} network {network.name} {network.id[:12]}", network.mtu
                )
                present = mac
            except FileExistsError:  # another process created it first
                present, up = link_state(network.bridge)
        if present != mac:  # the address marks ownership: it is set by the request that creates the link
            raise MinirunError(
                f'a link named "{network.bridge}" exists and is not the bridge of network {network.name}',
                f"see `ip -d link show {network.bridge}`; rename or remove it",
                FAILED,
            )
        if up and _has_gateways(network):
            return
        _configure_bridge(network)
        link_up(network.bridge)

    def remove(self, instance: Instance, network: Network) -> None:
        """Delete the bridge, unless somebody else's link has its name."""
        if link_state(network.bridge)[0] in ("", _bridge_mac(network)):
            link_del(network.bridge)

    def attach(self, instance: Instance, network: Network, endpoint: Endpoint, container: Container) -> Endpoint:
        """Create the veth pair. One that exists and has only lost its bridge is attached again: connections survive."""
        try:
            _attach_veth(instance, network, endpoint, container)
        except OSError as error:
            if error.errno == errno.EXFULL:
                raise _full(network) from error
            raise
        # Link-local frames (to 01:80:c2:00:00:0e) reach the host on this port itself, past every rule that names the
        # bridge. No address is routed by the port, so with these two settings the host accepts none of them.
        sysctl_ensure(f"net/ipv6/conf/{endpoint.veth}/disable_ipv6", "1")
        sysctl_ensure(f"net/ipv4/conf/{endpoint.veth}/rp_filter", "1")
        if container.spec.ports:
            allow_hairpin(endpoint)
        return endpoint

    def is_attached(self, network: Network, endpoint: Endpoint, container: Container) -> bool:
        """Return whether the veth is up and a port of the network's bridge."""
        bridge, up = bridge_port(endpoint.veth)
        return up and bridge == interface_index(network.bridge)

    def check(self, network: Network, endpoint: Endpoint, container: Container) -> str:
        """Check nothing more: minirun itself restores what `is_attached` does not look at."""
        return ""

    def detach(self, instance: Instance, network: Network, endpoint: Endpoint, container: Container) -> None:
        """Delete the veth pair."""
        link_del(endpoint.veth)


def allow_hairpin(endpoint: Endpoint) -> None:
    """Let a container reach itself by its published port. With br_netfilter such a frame leaves by its own port."""
    if any(sysctl_read(f"net.bridge.bridge-nf-call-{table}") == "1" for table in _BRIDGE_NETFILTER):
        hairpin_on(endpoint.veth)


def enable_forwarding(networks: Iterable[Network]) -> list[str]:
    """Enable IP forwarding, by which containers reach other hosts. Return a note for each setting that was changed."""
    outward = [network for network in networks if network.bridge and not network.internal]
    notes = []
    if any(network.pool for network in outward) and host_setting_ensure("net.ipv4.ip_forward", "1"):
        notes.append("minirun enabled net.ipv4.ip_forward: containers need it to reach other hosts")
    if any(network.pool6 for network in outward) and sysctl_read(_FORWARDING6) == "0":
        links = _keep_router_advertisements()
        host_setting_ensure(_FORWARDING6, "1")
        accept = f"; set accept_ra=2 on {', '.join(links)} to keep accepting router advertisements" if links else ""
        notes.append(f"minirun enabled {_FORWARDING6}: containers need it to reach other hosts{accept}")
    return notes


def _keep_router_advertisements() -> list[str]:
    """Set accept_ra=2 where it is 1, and return these links.

    A router ignores router advertisements: enabling forwarding would remove a default route that came from one. With
    accept_ra=2 the link accepts them all the same (ip-sysctl.rst).
    """
    links = [
        name
        for name in sysctl_names("net/ipv6/conf")
        if name not in ("all", "default", "lo")
        and sysctl_read(f"net/ipv6/conf/{name}/accept_ra") == "1"
        and sysctl_read(f"net/ipv6/conf/{name}/disable_ipv6") == "0"
    ]
    for name in links:
        host_setting_ensure(f"net/ipv6/conf/{name}/accept_ra", "2")
    return links


def _attach_veth(instance: Instance, network: Network, endpoint: Endpoint, container: Container) -> None:
    alias = f"{instance.label} {container.name} {container.id[:12]} {endpoint.interface}"
    inside = (endpoint.interface, endpoint.mac, network.mtu, container.name)
    deadline = time.monotonic() + _VETH_SECONDS
    fd = netns_open(container.name)
    try:
        while True:
            try:
                return veth_add(endpoint.veth, network.bridge, *inside, fd, alias)
            except FileExistsError:
                if _is_inside(endpoint, container):
                    return bridge_port_add(endpoint.veth, network.bridge)
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.005)
    finally:
        os.close(fd)


def _is_inside(endpoint: Endpoint, container: Container) -> bool:
    """Return whether the veth's peer is in the pinned namespace, and not in a dead one that is being destroyed."""
    with entered(container.name):
        return bool(link_state(endpoint.interface)[0])


def _full(network: Network) -> MinirunError:
    return MinirunError(
        f"network {network.name} is full: its bridge {network.bridge} has 1023 ports, the kernel's limit",
        "create another one with: minirun network create",
        FAILED,
    )


def _configure_bridge(network: Network) -> None:
    gateways = _gateways(network)
    is_six = any(pool.subnet.version == 6 for pool in gateways)
    for family, key, value in (
        ("ipv4", "route_localnet", "1"),  # replies to the host's own 127.0.0.1; network/firewall guards it
        ("ipv6", "accept_ra", "0"),  # no container routes for this host
        ("ipv6", "accept_dad", "0"),  # duplicate address detection would delay a new address by one to two seconds
        ("ipv6", "disable_ipv6", "0" if is_six else "1"),
    ):
        sysctl_ensure(f"net/{family}/conf/{network.bridge}/{key}", value)
    for pool in gateways:
        with suppress(FileExistsError):
            address_add(network.bridge, ip_interface(f"{pool.gateway}/{pool.subnet.prefixlen}"))


def _gateways(network: Network) -> list[Pool4 | Pool6]:
    """Return the pools whose gateway address the bridge has: none in gateway mode `isolated`."""
    modes = policy.Policy.of(network).modes
    return [pool for pool in (network.pool, network.pool6) if pool and modes[pool.subnet.version] != policy.ISOLATED]


def _has_gateways(network: Network) -> bool:
    addresses = [pool.gateway.packed for pool in _gateways(network)]
    with Interfaces() as interfaces:
        return all(interfaces.has_address(network.bridge, address) for address in addresses)


def _bridge_mac(network: Network) -> str:
    """Return the bridge's fixed address. Without one a bridge takes its ports' lowest, which changes with them."""
    return "02:42:" + ":".join(network.id[i : i + 2] for i in range(0, 8, 2))
