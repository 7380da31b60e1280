"""The driver `bridge`: a Linux bridge for each network, one veth for each endpoint."""

import errno
import os
import time
from contextlib import suppress
from dataclasses import replace
from ipaddress import ip_interface

from minirun.errors import FAILED, MinirunError
from minirun.instance import Instance
from minirun.kernel.glance import Interfaces, bridge_port
from minirun.kernel.netns import entered, pin_path
from minirun.kernel.sockets import egress_mtu, interface_index, link_state
from minirun.kernel.sysctl import sysctl_ensure, sysctl_read
from minirun.model import Container, Endpoint, Network, Pool4, Pool6
from minirun.network.drivers.driver_options import ADDRESS, LINK, LINKS, MTU, MTU_SIZE, SWITCH, check_options, one_of
from minirun.network.firewall import policy

# Seconds that the veth of a container's last run may be there still: the kernel takes a dead namespace apart on its own
# time, and under load that comes after the next start.
_LAST_ONE = 5.0
_PREFIX = "com.docker.network."
BRIDGE_NAME = f"{_PREFIX}bridge.name"
HOST_BINDING = f"{_PREFIX}bridge.host_binding_ipv4"
_TABLES = ("iptables", "ip6tables")
OPTIONS = {
    BRIDGE_NAME: LINK,
    MTU: MTU_SIZE,
    policy.ICC: SWITCH,
    policy.MASQUERADE: SWITCH,
    HOST_BINDING: ADDRESS,
    policy.GATEWAY_MODE4: one_of(*policy.MODES),
    policy.GATEWAY_MODE6: one_of(*policy.MODES),
    policy.TRUSTED: LINKS,
    policy.ANTISPOOF: SWITCH,
}


class Bridge:
    pools = True
    on_lan = False
    unplugs_dying = False

    def settle(self, instance: Instance, network: Network) -> Network:
        check_options(network, OPTIONS)
        policy.check(network)
        default = instance.default_bridge if network.is_default else f"mr-{network.id[:10]}"
        bridge = network.option(BRIDGE_NAME, default)
        if bridge != default and link_state(bridge)[0]:
            raise MinirunError(f'a link named "{bridge}" exists already', f"see `ip -d link show {bridge}`")
        # A packet that is too big for the way out would be lost where ICMP is (RFC 2923).
        mtu = int(network.option(MTU, "0")) or egress_mtu() or network.mtu
        return replace(network, bridge=bridge, mtu=mtu)

    def ensure(self, instance: Instance, network: Network) -> None:
        """The network's bridge, up and with the gateway's address, however much of it is there already."""
        from minirun.kernel.links import bridge_add, link_up

        mac = _bridge_mac(network)
        present, up = link_state(network.bridge)
        if not present:
            try:
                bridge_add(network.bridge, mac, f"minirun network {network.name} {network.id[:12]}", network.mtu)
                present = mac
            except FileExistsError:  # another start was quicker
                present, up = link_state(network.bridge)
        if present != mac:  # the address is the mark of ownership: it is set in the request that makes the link
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
        from minirun.kernel.links import link_del

        if link_state(network.bridge)[0] in ("", _bridge_mac(network)):
            link_del(network.bridge)

    def plug(self, instance: Instance, network: Network, endpoint: Endpoint, container: Container) -> Endpoint:
        """A veth that is there already, and has only lost its bridge, is led back to it: connections go on."""
        from minirun.kernel.links import bridge_port_add, hairpin_on, veth_add

        alias = f"minirun {container.name} {container.id[:12]} {endpoint.interface}"
        fd = os.open(pin_path(container.name), os.O_RDONLY | os.O_CLOEXEC)
        words = (endpoint.interface, endpoint.mac, network.mtu, container.name, fd, alias)
        deadline = time.monotonic() + _LAST_ONE
        try:
            while True:
                try:
                    veth_add(endpoint.veth, network.bridge, *words)
                    break
                except FileExistsError:
                    if _is_inside(endpoint, container):
                        bridge_port_add(endpoint.veth, network.bridge)
                        break
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(0.005)
        except OSError as error:
            if error.errno == errno.EXFULL:
                raise _full(network) from error
            raise
        finally:
            os.close(fd)
        # What does not leave a link (to 01:80:c2:00:00:0e) comes to the host on this port itself, past every rule that
        # speaks of the bridge. No address has its way back by the port, so this takes nothing.
        sysctl_ensure(f"net/ipv6/conf/{endpoint.veth}/disable_ipv6", "1")
        sysctl_ensure(f"net/ipv4/conf/{endpoint.veth}/rp_filter", "1")
        if container.spec.ports and any(sysctl_read(f"net.bridge.bridge-nf-call-{one}") == "1" for one in _TABLES):
            hairpin_on(endpoint.veth)
        return endpoint

    def is_plugged(self, network: Network, endpoint: Endpoint, container: Container) -> bool:
        bridge, up = bridge_port(endpoint.veth)
        return up and bridge == interface_index(network.bridge)

    def check(self, network: Network, endpoint: Endpoint, container: Container) -> str:
        return ""  # what there is besides is_plugged, minirun sets up itself

    def unplug(self, instance: Instance, network: Network, endpoint: Endpoint, container: Container) -> None:
        from minirun.kernel.links import link_del

        link_del(endpoint.veth)


def _is_inside(endpoint: Endpoint, container: Container) -> bool:
    """Whether the other end is in the namespace that is pinned now, and not in a dead one that is being taken apart."""
    with entered(container.name):
        return bool(link_state(endpoint.interface)[0])


def _full(network: Network) -> MinirunError:
    return MinirunError(
        f"network {network.name} is full: its bridge {network.bridge} has 1023 ports, which is all that Linux allows",
        "make another one with: minirun network create",
        FAILED,
    )


def _configure_bridge(network: Network) -> None:
    from minirun.kernel.links import address_add

    gateways = _gateways(network)
    is_six = any(pool.subnet.version == 6 for pool in gateways)
    for family, key, value in (
        ("ipv4", "route_localnet", "1"),  # replies to the host's own 127.0.0.1; guarded in network/firewall.py
        ("ipv6", "accept_ra", "0"),  # no container is this host's router
        ("ipv6", "accept_dad", "0"),  # an address that is being tested cannot be used for a second or two
        ("ipv6", "disable_ipv6", "0" if is_six else "1"),
    ):
        sysctl_ensure(f"net/{family}/conf/{network.bridge}/{key}", value)
    for pool in gateways:
        with suppress(FileExistsError):
            address_add(network.bridge, ip_interface(f"{pool.gateway}/{pool.subnet.prefixlen}"))


def _gateways(network: Network) -> list[Pool4 | Pool6]:
    """The pools of which the bridge has an address."""
    modes = policy.Policy.of(network).modes
    return [pool for pool in (network.pool, network.pool6) if pool and modes[pool.subnet.version] != policy.ISOLATED]


def _has_gateways(network: Network) -> bool:
    addresses = [pool.gateway.packed for pool in _gateways(network)]
    with Interfaces() as interfaces:
        return all(interfaces.has_address(network.bridge, address) for address in addresses)


def _bridge_mac(network: Network) -> str:
    """Fixed: without one of its own a bridge takes the lowest of its ports', and changes as they come and go."""
    return "02:42:" + ":".join(network.id[i : i + 2] for i in range(0, 8, 2))
