"""The resolver's legs: how a network reaches the one that knows its names (minirun/network/dns).

A leg is a veth from the network's bridge into the namespace of the resolver. Its name follows from the network. The
last step gives its host end an address that says into which namespace it leads: with that it is whole, and not the leg
of a namespace that is just being taken apart.
"""

import os
import time
from collections.abc import Iterable
from contextlib import suppress
from ipaddress import IPv4Network

from minirun.instance import Instance
from minirun.kernel.netns import entered, pin_path
from minirun.kernel.sockets import link_state
from minirun.kernel.sysctl import sysctl_ensure
from minirun.model import DEFAULT_NETWORK, Endpoint, Network
from minirun.store.activity import UsedNetwork

HOST_NAME = "host.minirun.internal"  # the gateway, by name
RESOLVER = IPv4Network("169.254.53.53/32")
_LAST_ONE = 5.0  # seconds that the leg of the last resolver may be there still
Leg = tuple[Endpoint, Network]


def first_named(legs: Iterable[Leg]) -> Leg | None:
    """By which of its networks a sandbox reaches the resolver. On the default network there are no names."""
    return next((leg for leg in legs if has_names(leg[1])), None)


def has_names(network: Network | UsedNetwork) -> bool:
    return network.driver == "bridge" and network.name != DEFAULT_NETWORK


def legs_of(instance: Instance, sandbox: str) -> list[Leg]:
    store = instance.store
    return [(end, found) for end in store.endpoints(sandbox=sandbox) if (found := store.network(end.network))]


def leg_name(network: Network | UsedNetwork) -> str:
    return f"mrd-{network.id[:10]}"


def ensure_leg(instance: Instance, network: Network) -> None:
    """The caller has a connection to the resolver (resolver/life.py), so its namespace stays."""
    from minirun.kernel.links import link_address_write

    if has_leg(instance, network):
        return
    name = leg_name(network)
    _plug(instance, network)
    sysctl_ensure(f"net/ipv6/conf/{name}/disable_ipv6", "1")
    _set_up(instance, network)
    link_address_write(name, _mark(instance))


def has_leg(instance: Instance, network: Network) -> bool:
    return link_state(leg_name(network))[0] == _mark(instance)


def remove_leg(network: Network) -> None:
    from minirun.kernel.links import link_del

    if link_state(leg_name(network))[0]:
        link_del(leg_name(network))


def restore_leg(instance: Instance, network: Network) -> None:
    """Of a network whose bridge may be a new one."""
    from minirun.kernel.links import bridge_port_add

    ensure_leg(instance, network)
    bridge_port_add(leg_name(network), network.bridge)


def ensure_route(interface: str) -> bool:
    """In a container: the way to the resolver, by an interface that is up. False when it was there."""
    from minirun.kernel.links import link_route_add

    try:
        link_route_add(interface, RESOLVER)
    except FileExistsError:
        return False
    return True


def _plug(instance: Instance, network: Network) -> None:
    from minirun.kernel.links import veth_add

    name, netns = leg_name(network), instance.resolver_netns
    alias = f"minirun resolver in network {network.name} {network.id[:12]}"
    deadline = time.monotonic() + _LAST_ONE
    fd = os.open(pin_path(netns), os.O_RDONLY | os.O_CLOEXEC)
    try:
        while True:
            try:
                veth_add(name, network.bridge, name, _inner_mac(network), network.mtu, netns, fd, alias)
                return
            except FileExistsError:
                with entered(netns):
                    present, _ = link_state(name)
                if present:  # by another start, which may have been killed in the middle of it
                    return
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.005)
    finally:
        os.close(fd)


def _set_up(instance: Instance, network: Network) -> None:
    """Inside: up, and the way to the members."""
    from minirun.kernel.links import link_route_add, link_up

    with entered(instance.resolver_netns):
        link_up(leg_name(network))
        with suppress(FileExistsError):
            link_route_add(leg_name(network), network.subnet)


def _inner_mac(network: Network) -> str:
    """Fixed, so that the neighbours' ARP caches are right when it comes back."""
    return "02:53:" + ":".join(network.id[i : i + 2] for i in range(0, 8, 2))


def _mark(instance: Instance) -> str:
    """Of the namespace that is pinned now; "-" when none is."""
    try:
        number = pin_path(instance.resolver_netns).stat().st_ino
    except FileNotFoundError:
        return "-"
    return "02:53:" + (number & 0xFFFFFFFF).to_bytes(4, "big").hex(":")
