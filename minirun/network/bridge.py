"""--net=bridge and --net=NAME: one veth for each network, ethN in the order given, the first is the default route.

The same driver serves the default bridge and the custom ones: they differ in who made them (network/custom.py).
"""

import os
import time
from contextlib import ExitStack
from ipaddress import IPv4Address, IPv4Interface
from typing import TYPE_CHECKING

from minirun.errors import FAILED, MinirunError
from minirun.instance import Instance
from minirun.kernel.netns import entered, pin_path
from minirun.kernel.sockets import link_state
from minirun.kernel.sysctl import sysctl_ensure, sysctl_read
from minirun.lookup import find_network
from minirun.model import DEFAULT_NETWORK, Container, Endpoint, Network, Publication, Spec
from minirun.network import firewall, ipam, ports
from minirun.network.custom import default_network
from minirun.network.none import add_namespace

if TYPE_CHECKING:
    from minirun.kernel.netlink import Netlink

# Seconds that the veth of a container's last run may be there still: the kernel takes a dead namespace apart on its own
# time, and under load that comes after the next start.
_LAST_ONE = 5.0


class Bridge:
    def validate(self, instance: Instance, spec: Spec) -> None:
        networks = [_network(instance, name) for name in spec.network.names]
        if len({network.id for network in networks}) < len(networks):
            raise MinirunError("the same network is given twice", "give each --network once", FAILED)
        if spec.network.address:
            ipam.check_address(networks[0], spec.network.address, set())

    def reserve(self, instance: Instance, container: Container) -> str:
        addresses = [
            self._lease(instance, container, position, name, container.spec.network.address if position == 0 else None)
            for position, name in enumerate(container.spec.network.names)
        ]
        for mapping in container.spec.ports:
            ports.record(instance.store, Publication(container.id, container.id, mapping, addresses[0]))
        return container.id

    def pin(self, instance: Instance, container: Container) -> str:
        add_namespace(container.name)
        return container.name

    def connect(self, instance: Instance, container: Container, undo: ExitStack) -> list[str]:
        from minirun.kernel.netlink import Netlink  # 20 ms that the other modes do not need

        store = instance.store
        endpoints = store.endpoints(sandbox=container.id)
        by_id = {network.id: network for network in store.networks()}
        networks = [by_id[endpoint.network] for endpoint in endpoints]
        netlink = Netlink()
        undo.callback(netlink.close)
        # The guard chain must stand before a bridge with route_localnet does.
        firewall.ensure(store, instance.table, networks, container.id)
        for network in networks:
            ensure_bridge(netlink, instance, network)
        for endpoint, network in zip(endpoints, networks, strict=True):
            _plug(netlink, container, endpoint, network)
        with entered(container.name):
            inside = Netlink()
            undo.callback(inside.close)
            for endpoint, network in zip(endpoints, networks, strict=True):
                _configure(inside, endpoint, network)
        return _forwarding_on()

    def _lease(
        self, instance: Instance, container: Container, position: int, name: str, wanted: IPv4Address | None
    ) -> IPv4Address:
        network = _network(instance, name)
        used, last = instance.store.used_addresses(network.id)
        free = ipam.check_address(network, wanted, used) if wanted else None
        if free is None and (before := instance.store.held(container.id).get(network.id)) is not None:
            wish = IPv4Address(before)
            free = None if int(wish) in used else wish
        free = free or ipam.next_address(network, used, last)
        mac = container.spec.mac if position == 0 else ""
        instance.store.add_endpoint(Endpoint(container.id, position, network.id, free, mac))
        return free


def ensure_bridge(netlink: "Netlink", instance: Instance, network: Network) -> None:
    """The network's bridge, up and with the gateway's address, however much of it is there already."""
    from minirun.kernel.links import address_add, bridge_add, link_up

    mac = _bridge_mac(network)
    present, up = link_state(network.bridge)
    if not present:
        try:
            bridge_add(netlink, network.bridge, mac, f"minirun network {network.name} {network.id[:12]}", network.mtu)
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
    try:
        address_add(netlink, network.bridge, IPv4Interface(f"{network.gateway}/{network.subnet.prefixlen}"))
    except FileExistsError:
        pass
    for family, key, value in (
        (
            "ipv4",
            "route_localnet",
            "1",
        ),  # replies to the host's own 127.0.0.1; guarded in network/firewall.py
        ("ipv6", "disable_ipv6", "1"),
        ("ipv6", "accept_ra", "0"),
    ):
        sysctl_ensure(f"net/{family}/conf/{network.bridge}/{key}", value)
    link_up(netlink, network.bridge)


def _plug(netlink: "Netlink", container: Container, endpoint: Endpoint, network: Network) -> None:
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
    sysctl_ensure(f"net/ipv6/conf/{endpoint.veth}/disable_ipv6", "1")
    if container.spec.ports and sysctl_read("net.bridge.bridge-nf-call-iptables") == "1":
        hairpin_on(netlink, endpoint.veth)


def _configure(netlink: "Netlink", endpoint: Endpoint, network: Network) -> None:
    """Inside the namespace: address, up, and for the first network the way out."""
    from minirun.kernel.links import address_add, default_route_add, link_up

    address = IPv4Interface(f"{endpoint.address}/{network.subnet.prefixlen}")
    address_add(netlink, endpoint.interface, address)
    link_up(netlink, endpoint.interface)
    if endpoint.position == 0:
        default_route_add(netlink, endpoint.interface, network.gateway)


def _forwarding_on() -> list[str]:
    if sysctl_ensure("net.ipv4.ip_forward", "1"):
        return ["minirun turned on net.ipv4.ip_forward: containers reach the outside through this host"]
    return []


def _network(instance: Instance, name: str) -> Network:
    if name == DEFAULT_NETWORK:
        return default_network(instance)
    return find_network(instance.store, name, FAILED)


def _bridge_mac(network: Network) -> str:
    """Fixed: without one of its own a bridge takes the lowest of its ports', and changes as they come and go."""
    return "02:42:" + ":".join(network.id[i : i + 2] for i in range(0, 8, 2))
