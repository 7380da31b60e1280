"""The driver `cni`: the work is done by CNI plugins of this host, as Kubernetes and podman use them.

    minirun network create -d cni -o conf=/etc/cni/net.d/10-mynet.conflist mynet

The configuration is copied into the network's record: what was made by it can be taken away by it, whatever becomes of
the file. A container's interface, addresses and routes are the plugins'; what they answer stays with the endpoint, for
DEL and CHECK want it back.

Specification: https://www.cni.dev/docs/spec/ (1.0; configurations of 0.3 and 0.4 are spoken to in their own version)
"""

import json
import os
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, ip_interface
from typing import Any

from minirun.errors import FAILED, MinirunError
from minirun.instance import Instance
from minirun.kernel.netns import entered, netns_exists, pin_path
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
    PATH: ((lambda text: all(one.startswith("/") for one in text.split(":"))), "directories, with : between"),
}


class Cni:
    pools = False
    on_lan = True
    unplugs_dying = True

    def settle(self, instance: Instance, network: Network) -> Network:
        check_options(network, OPTIONS)
        if not network.option(CONF):
            raise MinirunError("a cni network needs -o conf=FILE", "such as /etc/cni/net.d/10-mynet.conflist")
        config = cni_chain.parse(network.option(CONF), _read(network.option(CONF)))
        found = replace(network, options=(*network.options, (COPY, json.dumps(config))))
        for plugin in config["plugins"]:
            if program_path(plugin["type"], _directories(found)) is None:
                raise MinirunError(
                    f"there is no CNI plugin {plugin['type']} in {':'.join(_directories(found))}",
                    "Debian has them in the package containernetworking-plugins; -o path=DIRECTORY names another place",
                )
        return found

    def ensure(self, instance: Instance, network: Network) -> None:
        """The plugins make what they need with the first container."""

    def remove(self, instance: Instance, network: Network) -> None:
        """CNI has no word for it: what plugins leave on the host (a bridge, for one) is theirs."""

    def plug(self, instance: Instance, network: Network, endpoint: Endpoint, container: Container) -> Endpoint:
        call = _call(network, endpoint, container.name)
        if endpoint.state:  # it was damaged: what is left goes first, and its address may be another one then
            call.delete(json.loads(endpoint.state))
        result = call.add()
        done = _with_result(endpoint, result)
        instance.store.set_endpoint(done)  # at once: from here on only DEL gives its address back
        return done

    def is_plugged(self, network: Network, endpoint: Endpoint, container: Container) -> bool:
        with entered(container.name):
            return bool(link_state(endpoint.interface)[0])

    def check(self, network: Network, endpoint: Endpoint, container: Container) -> str:
        """What the plugins say is not as they made it; "" when all is well."""
        return _call(network, endpoint, container.name).check(json.loads(endpoint.state or "{}"))

    def unplug(self, instance: Instance, network: Network, endpoint: Endpoint, container: Container) -> None:
        """Also of a namespace that is gone: addresses are given back all the same."""
        result = json.loads(endpoint.state) if endpoint.state else None
        _call(network, endpoint, container.name).delete(result)


def _call(network: Network, endpoint: Endpoint, pin: str) -> cni_chain.Call:
    directories = _directories(network)
    return cni_chain.Call(
        config=json.loads(network.option(COPY)),
        directories=directories,
        env={
            "CNI_CONTAINERID": endpoint.sandbox,
            "CNI_NETNS": str(pin_path(pin)) if netns_exists(pin) else "",
            "CNI_IFNAME": endpoint.interface,
            "CNI_PATH": ":".join(directories),
        },
    )


def _with_result(endpoint: Endpoint, result: dict[str, Any]) -> Endpoint:
    """Its first address of each family, and the hardware address of the interface inside."""
    try:
        addresses = [ip_interface(one["address"]).ip for one in result.get("ips") or ()]
        inside = [one for one in result.get("interfaces") or () if one.get("sandbox")]
        macs = [one.get("mac") or "" for one in inside if one.get("name") == endpoint.interface]
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise MinirunError(f"the CNI plugins answered what is no result: {error}", code=FAILED) from None
    return replace(
        endpoint,
        address=next((one for one in addresses if isinstance(one, IPv4Address)), None),
        address6=next((one for one in addresses if isinstance(one, IPv6Address)), None),
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
