"""The driver `bridge`: a Linux bridge for each network, one veth for each endpoint."""

import os
import re
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from ipaddress import AddressValueError, IPv4Address, ip_interface
from typing import TYPE_CHECKING

from minirun.errors import FAILED, MinirunError
from minirun.instance import Instance
from minirun.kernel.netns import pin_path
from minirun.kernel.sockets import egress_mtu, link_state
from minirun.kernel.sysctl import sysctl_ensure, sysctl_read
from minirun.model import Container, Endpoint, Network
from minirun.network import policy

if TYPE_CHECKING:
    from minirun.kernel.netlink import Netlink

# Seconds that the veth of a container's last run may be there still: the kernel takes a dead namespace apart on its own
# time, and under load that comes after the next start.
_LAST_ONE = 5.0
_LINK_NAME = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,14}\Z")
_PREFIX = "com.docker.network."
MTU = f"{_PREFIX}driver.mtu"
BRIDGE_NAME = f"{_PREFIX}bridge.name"
HOST_BINDING = f"{_PREFIX}bridge.host_binding_ipv4"
_TABLES = ("iptables", "ip6tables")
_SWITCH = ("true", "false", "1", "0")


def _is_address(text: str) -> bool:
    try:
        IPv4Address(text)
    except AddressValueError:
        return False
    return True


def _are_links(text: str) -> bool:
    return all(_LINK_NAME.match(name) for name in text.split(":"))


# What -o takes: whether a value will do, and how that is said to whoever gave another.
OPTIONS: dict[str, tuple[Callable[[str], bool], str]] = {
    BRIDGE_NAME: (lambda text: bool(_LINK_NAME.match(text)), "the name of a link, 15 characters at most"),
    MTU: (lambda text: text.isascii() and text.isdigit() and 68 <= int(text) <= 65535, "68 to 65535"),
    policy.ICC: (lambda text: text in _SWITCH, "true or false"),
    policy.MASQUERADE: (lambda text: text in _SWITCH, "true or false"),
    HOST_BINDING: (_is_address, "an IPv4 address"),
    policy.GATEWAY_MODE4: (lambda text: text in policy.MODES, ", ".join(policy.MODES)),
    policy.GATEWAY_MODE6: (lambda text: text in policy.MODES, ", ".join(policy.MODES)),
    policy.TRUSTED: (_are_links, "names of links, with colons between"),
    policy.ANTISPOOF: (lambda text: text in _SWITCH, "true or false"),
}


class Bridge:
    pools = True
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

    def ensure(self, instance: Instance, netlink: "Netlink", network: Network) -> None:
        """The network's bridge, up and with the gateway's address, however much of it is there already."""
        from minirun.kernel.links import bridge_add, link_up

        mac = _bridge_mac(network)
        present, up = link_state(network.bridge)
        if not present:
            try:
                bridge_add(
                    netlink, network.bridge, mac, f"minirun network {network.name} {network.id[:12]}", network.mtu
                )
                present = mac
            except FileExistsError:  # another start was quicker
                present, up = link_state(network.bridge)
        if present != mac:  # the address is the mark of ownership: it is set in the request that makes the link
            raise MinirunError(
                f'a link named "{network.bridge}" exists and is not the bridge of network {network.name}',
                f"see `ip -d link show {network.bridge}`; rename or remove it",
                FAILED,
            )
        if up:
            return  # coming up is the last step below: up means whole
        _configure_bridge(netlink, network)
        link_up(netlink, network.bridge)

    def remove(self, instance: Instance, netlink: "Netlink", network: Network) -> None:
        from minirun.kernel.links import link_del

        if link_state(network.bridge)[0] in ("", _bridge_mac(network)):
            link_del(netlink, network.bridge)

    def plug(
        self, instance: Instance, netlink: "Netlink", network: Network, endpoint: Endpoint, container: Container
    ) -> Endpoint:
        from minirun.kernel.links import hairpin_on, veth_add

        alias = f"minirun {container.name} {container.id[:12]} {endpoint.interface}"
        fd = os.open(pin_path(container.name), os.O_RDONLY | os.O_CLOEXEC)
        words = (endpoint.interface, endpoint.mac, network.mtu, container.name, fd, alias)
        deadline = time.monotonic() + _LAST_ONE
        try:
            while True:
                try:
                    veth_add(netlink, endpoint.veth, network.bridge, *words)
                    break
                except FileExistsError:
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(0.005)
        finally:
            os.close(fd)
        # What does not leave a link (to 01:80:c2:00:00:0e) comes to the host on this port itself, past every rule that
        # speaks of the bridge. No address has its way back by the port, so this takes nothing.
        sysctl_ensure(f"net/ipv6/conf/{endpoint.veth}/disable_ipv6", "1")
        sysctl_ensure(f"net/ipv4/conf/{endpoint.veth}/rp_filter", "1")
        if container.spec.ports and any(sysctl_read(f"net.bridge.bridge-nf-call-{one}") == "1" for one in _TABLES):
            hairpin_on(netlink, endpoint.veth)
        return endpoint

    def is_plugged(self, network: Network, endpoint: Endpoint, container: Container) -> bool:
        present, up = link_state(endpoint.veth)
        return bool(present) and up

    def unplug(
        self, instance: Instance, netlink: "Netlink", network: Network, endpoint: Endpoint, container: Container
    ) -> None:
        from minirun.kernel.links import link_del

        link_del(netlink, endpoint.veth)


def check_options(network: Network, known: dict[str, tuple[Callable[[str], bool], str]]) -> None:
    for key, text in network.options:
        if key not in known:
            raise MinirunError(
                f"invalid option {key}: the driver {network.driver} has none of that name", f"it has {', '.join(known)}"
            )
        is_good, wanted = known[key]
        if not is_good(text):
            raise MinirunError(f"invalid value {text!r} for option {key}", f"it takes {wanted}")


def _configure_bridge(netlink: "Netlink", network: Network) -> None:
    from minirun.kernel.links import address_add

    modes = policy.Policy.of(network).modes
    gateways = [
        pool for pool in (network.pool, network.pool6) if pool and modes[pool.subnet.version] != policy.ISOLATED
    ]
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
            address_add(netlink, network.bridge, ip_interface(f"{pool.gateway}/{pool.subnet.prefixlen}"))


def _bridge_mac(network: Network) -> str:
    """Fixed: without one of its own a bridge takes the lowest of its ports', and changes as they come and go."""
    return "02:42:" + ":".join(network.id[i : i + 2] for i in range(0, 8, 2))
