"""The network driver `macvlan`: each container is a host of its own on the LAN, with its own hardware address.

There is no bridge, no translation and no rule: frames pass from the parent link directly into the container's namespace
(ip-link(8), macvlan). So every port of the container is open to the LAN, none is published, and the host itself does
not reach the container by that link.
"""

import os
from contextlib import suppress
from dataclasses import replace

from minirun.errors import FAILED, ConflictError, MinirunError
from minirun.instance import Instance
from minirun.kernel.links import link_del, macvlan_add
from minirun.kernel.netns import entered, netns_open
from minirun.kernel.sockets import link_mtu, link_state
from minirun.model import Container, Endpoint, Network
from minirun.network.drivers.driver_options import LINK, MTU, MTU_SIZE, check_options, one_of

PARENT, MODE = "parent", "macvlan_mode"
OPTIONS = {PARENT: LINK, MODE: one_of("bridge", "private", "vepa", "passthru"), MTU: MTU_SIZE}


class Macvlan:
    """The driver; `Driver` in the package explains each method."""

    uses_ipam = True
    on_lan = True
    detaches_on_teardown = False

    def validate(self, instance: Instance, network: Network) -> Network:
        """Check the options and that the parent link exists, which no other network may use; take over its MTU."""
        check_options(network, OPTIONS)
        parent = network.option(PARENT)
        if not parent:
            raise MinirunError(
                "a macvlan network needs -o parent=LINK, this host's link to the LAN",
                "`ip link` lists the links; unlike Docker, minirun creates no dummy link in its place: for an isolated"
                " network use the driver bridge with --internal",
            )
        _require(network, parent)
        for other in instance.store.networks():
            if other.driver == network.driver and other.option(PARENT) == parent:
                raise ConflictError(f"network {other.name} is already using parent interface {parent}")
        return replace(network, mtu=int(network.option(MTU, "0")) or link_mtu(parent))

    def ensure(self, instance: Instance, network: Network) -> None:
        """Check that the parent link exists."""
        _require(network, network.option(PARENT))

    def remove(self, instance: Instance, network: Network) -> None:
        """Remove nothing: the parent link is not minirun's."""

    def attach(self, instance: Instance, network: Network, endpoint: Endpoint, container: Container) -> Endpoint:
        """Create the macvlan link in the namespace."""
        fd = netns_open(container.name)
        parent, mode = network.option(PARENT), network.option(MODE, "bridge")
        try:
            with suppress(FileExistsError):
                macvlan_add(endpoint.interface, parent, mode, endpoint.mac, network.mtu, container.name, fd)
        finally:
            os.close(fd)
        return endpoint

    def is_attached(self, network: Network, endpoint: Endpoint, container: Container) -> bool:
        """Return whether the link is in the namespace and up."""
        with entered(container.name):
            present, up = link_state(endpoint.interface)
        return bool(present) and up

    def check(self, network: Network, endpoint: Endpoint, container: Container) -> str:
        """Check nothing more: minirun itself restores what `is_attached` does not look at."""
        return ""

    def detach(self, instance: Instance, network: Network, endpoint: Endpoint, container: Container) -> None:
        """Delete the link."""
        with entered(container.name):
            link_del(endpoint.interface)


def _require(network: Network, parent: str) -> None:
    if link_state(parent)[0]:
        return
    base, dot, tag = parent.partition(".")
    hint = (
        f"ip link add link {base} name {parent} type vlan id {tag}" if dot else "`ip link` lists the links of this host"
    )
    raise MinirunError(f"the parent link {parent} of network {network.name} does not exist", hint, FAILED)
