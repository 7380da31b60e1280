"""The driver `macvlan`: each container is a neighbour of this host on the LAN, with a hardware address of its own.

There is no bridge, no translation and no rule: frames go from the parent link straight into the container's namespace
(ip-link(8), macvlan). So every port of the container is open to the LAN, none is published, and the host itself does
not reach it by that link.
"""

import os
from contextlib import suppress
from dataclasses import replace

from minirun.errors import FAILED, ConflictError, MinirunError
from minirun.instance import Instance
from minirun.kernel.netns import entered, pin_path
from minirun.kernel.sockets import link_mtu, link_state
from minirun.model import Container, Endpoint, Network
from minirun.network.drivers.driver_options import LINK, MTU, MTU_SIZE, check_options, one_of

PARENT, MODE = "parent", "macvlan_mode"
OPTIONS = {PARENT: LINK, MODE: one_of("bridge", "private", "vepa", "passthru"), MTU: MTU_SIZE}


class Macvlan:
    pools = True
    on_lan = True
    unplugs_dying = False

    def settle(self, instance: Instance, network: Network) -> Network:
        check_options(network, OPTIONS)
        parent = network.option(PARENT)
        if not parent:
            raise MinirunError(
                "a macvlan network needs -o parent=LINK, the link of this host that leads to the LAN",
                "`ip link` shows them; minirun makes no dummy link in its place: for an isolated network use the"
                " driver bridge with --internal",
            )
        _require(network, parent)
        for other in instance.store.networks():
            if other.driver == network.driver and other.option(PARENT) == parent:
                raise ConflictError(f"network {other.name} is already using parent interface {parent}")
        return replace(network, mtu=int(network.option(MTU, "0")) or link_mtu(parent))

    def ensure(self, instance: Instance, network: Network) -> None:
        _require(network, network.option(PARENT))

    def remove(self, instance: Instance, network: Network) -> None:
        """The parent is not ours."""

    def plug(self, instance: Instance, network: Network, endpoint: Endpoint, container: Container) -> Endpoint:
        from minirun.kernel.links import macvlan_add

        fd = os.open(pin_path(container.name), os.O_RDONLY | os.O_CLOEXEC)
        words = (network.option(PARENT), network.option(MODE, "bridge"), endpoint.mac, network.mtu, container.name, fd)
        try:
            with suppress(FileExistsError):
                macvlan_add(endpoint.interface, *words)
        finally:
            os.close(fd)
        return endpoint

    def is_plugged(self, network: Network, endpoint: Endpoint, container: Container) -> bool:
        with entered(container.name):
            present, up = link_state(endpoint.interface)
        return bool(present) and up

    def check(self, network: Network, endpoint: Endpoint, container: Container) -> str:
        return ""  # what there is besides is_plugged, minirun sets up itself

    def unplug(self, instance: Instance, network: Network, endpoint: Endpoint, container: Container) -> None:
        from minirun.kernel.links import link_del

        with entered(container.name):
            link_del(endpoint.interface)


def _require(network: Network, parent: str) -> None:
    if link_state(parent)[0]:
        return
    base, dot, tag = parent.partition(".")
    hint = f"ip link add link {base} name {parent} type vlan id {tag}" if dot else "`ip link` shows those there are"
    raise MinirunError(f"the parent link {parent} of network {network.name} is not there", hint, FAILED)
