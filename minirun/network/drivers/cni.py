"""The network driver `cni`: CNI plugins of this host do the work, as with Kubernetes and podman.

    minirun network create -d cni -o conf=/etc/cni/net.d/10-mynet.conflist mynet

The configuration is copied into the network's record, so that what it created can be deleted whatever happens to the
file. A container's interface, addresses and routes are the plugins'; their result is kept with the endpoint, since DEL
and CHECK require it.

Specification: https://www.cni.dev/docs/spec/ (1.0; configurations of 0.3 and 0.4 keep their own version)
"""

import json
import os
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, ip_interface
from typing import Any

from minirun.errors import FAILED, MinirunError
from minirun.instance import Instance
from minirun.kernel.netns import entered, netns_is_pinned, netns_path
from minirun.kernel.programs import program_path
from minirun.kernel.sockets import link_state
from minirun.model import Container, Endpoint, Network
from minirun.network.drivers import cni_chain
from minirun.network.drivers.driver_options import check_options

CONF, PATH, COPY = "conf", "path", "minirun.cni.config"
_DIRECTORIES = "/opt/cni/bin:/usr/lib/cni"
_LARGEST = 1 << 18
OPTIONS = {
    CONF: ((lambda text: text.startswith("/")), "the path of a .conf or .conflist file"),
    PATH: ((lambda text: all(path.startswith("/") for path in text.split(":"))), "directories separated by :"),
}


class Cni:
    """The driver; `Driver` in the package explains each method."""

    uses_ipam = False
    on_lan = True
    detaches_on_teardown = True

    def validate(self, instance: Instance, network: Network) -> Network:
        """Check the options and the configuration, whose plugins must be installed; copy it into the network."""
        check_options(network, OPTIONS)
        if not network.option(CONF):
            raise MinirunError("a cni network needs -o conf=FILE", "such as /etc/cni/net.d/10-mynet.conflist")
        config = cni_chain.parse(network.option(CONF), _read(network.option(CONF)))
        network = replace(network, options=(*network.options, (COPY, json.dumps(config))))
        for plugin in config["plugins"]:
            if program_path(plugin["type"], _directories(network)) is None:
                raise MinirunError(
                    f"there is no CNI plugin {plugin['type']} in {':'.join(_directories(network))}",
                    "install Debian's containernetworking-plugins, or name another directory with -o path=DIRECTORY",
                )
        return network

    def ensure(self, instance: Instance, network: Network) -> None:
        """Create nothing: the plugins do, with the first container."""

    def remove(self, instance: Instance, network: Network) -> None:
        """Remove nothing: CNI has no such command, and what plugins leave on the host (a bridge) is theirs."""

    def attach(self, instance: Instance, network: Network, endpoint: Endpoint, container: Container) -> Endpoint:
        """Call ADD. Return the endpoint with the address and state of the result."""
        call = _call(network, endpoint, container.name)
        if endpoint.state:  # it was damaged: DEL first, after which ADD may give another address
            call.delete(json.loads(endpoint.state))
        attached = _with_result(endpoint, call.add())
        instance.store.set_endpoint(attached)  # at once: from now on only DEL releases the address
        return attached

    def is_attached(self, network: Network, endpoint: Endpoint, container: Container) -> bool:
        """Return whether the interface exists."""
        with entered(container.name):
            return bool(link_state(endpoint.interface)[0])

    def check(self, network: Network, endpoint: Endpoint, container: Container) -> str:
        """Call CHECK. Return what the plugins report, "" for no problem."""
        return _call(network, endpoint, container.name).check(json.loads(endpoint.state or "{}"))

    def detach(self, instance: Instance, network: Network, endpoint: Endpoint, container: Container) -> None:
        """Call DEL, also when the namespace is gone, since it releases addresses."""
        result = json.loads(endpoint.state) if endpoint.state else None
        _call(network, endpoint, container.name).delete(result)


def _call(network: Network, endpoint: Endpoint, pin: str) -> cni_chain.Call:
    directories = _directories(network)
    return cni_chain.Call(
        config=json.loads(network.option(COPY)),
        directories=directories,
        env={
            "CNI_CONTAINERID": endpoint.sandbox,
            "CNI_NETNS": str(netns_path(pin)) if netns_is_pinned(pin) else "",
            "CNI_IFNAME": endpoint.interface,
            "CNI_PATH": ":".join(directories),
        },
    )


def _with_result(endpoint: Endpoint, result: dict[str, Any]) -> Endpoint:
    """Return the endpoint with the result's first address of each family, and its interface's hardware address."""
    try:
        addresses = [ip_interface(ip["address"]).ip for ip in result.get("ips") or ()]
        inside = [interface for interface in result.get("interfaces") or () if interface.get("sandbox")]
        macs = [interface.get("mac") or "" for interface in inside if interface.get("name") == endpoint.interface]
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise MinirunError(f"the CNI plugins returned an invalid result: {error}", code=FAILED) from None
    return replace(
        endpoint,
        address=next((address for address in addresses if isinstance(address, IPv4Address)), None),
        address6=next((address for address in addresses if isinstance(address, IPv6Address)), None),
        given_mac=next(iter(macs), ""),
        state=json.dumps(result),
    )


def _directories(network: Network) -> tuple[str, ...]:
    return tuple(network.option(PATH, _DIRECTORIES).split(":"))


def _read(path: str) -> bytes:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(fd, "rb") as file:
            return file.read(_LARGEST)
    except OSError as error:
        raise MinirunError(f"open {path}: {(error.strerror or str(error)).lower()}") from None
