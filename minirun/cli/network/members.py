"""minirun network connect, network disconnect."""

import sys
from dataclasses import replace
from typing import Annotated

from typer import Argument, Option

from minirun.cli.completion.values import containers, networks
from minirun.cli.parameters import NONE, AnyContainer
from minirun.cli.session import commands, open_instance
from minirun.engine import hot_update
from minirun.engine.start_plan import resolve_links
from minirun.errors import MinirunError, NotFoundError
from minirun.instance import Instance
from minirun.model import DEFAULT_NETWORK, RESERVED_NETWORKS, Attachment, Network
from minirun.network.networks import network_by_name
from minirun.options.networks import parse_endpoint_options, parse_first_attachment
from minirun.store.lookup import find_container, find_network

app = commands()
_Network = Annotated[str, Argument(metavar="NETWORK", autocompletion=networks)]


@app.command("connect")
def connect(
    network: _Network,
    container: AnyContainer,
    alias: Annotated[
        list[str], Option("--alias", help="Add network-scoped alias for the container", metavar="strings")
    ] = NONE,
    driver_opt: Annotated[
        list[str],
        Option(
            "--driver-opt",
            help="Driver options of the endpoint, such as com.docker.network.endpoint.ifname=NAME",
            metavar="strings",
        ),
    ] = NONE,
    gw_priority: Annotated[
        int, Option("--gw-priority", help="Of several networks the highest provides the default gateway")
    ] = 0,
    ip: Annotated[str, Option("--ip", help='IPv4 address (e.g., "172.30.100.104")', metavar="ip")] = "",
    ip6: Annotated[str, Option("--ip6", help='IPv6 address (e.g., "2001:db8::33")', metavar="ip")] = "",
    link: Annotated[
        list[str],
        Option("--link", help="Add link to another container", autocompletion=containers("running", ending=":")),
    ] = NONE,
    mac_address: Annotated[str, Option("--mac-address", help="MAC address of the container in the network")] = "",
) -> None:
    """Connect a container to a network."""
    wanted = parse_first_attachment(ip, ip6, mac_address, tuple(alias), tuple(link))
    options = parse_endpoint_options(driver_opt)
    instance = open_instance()
    wanted = replace(wanted, priority=gw_priority, driver_options=options)
    for note in connect_to(instance, network, container, wanted):
        print(note, file=sys.stderr)


def connect_to(instance: Instance, network: str, container: str, wanted: Attachment) -> list[str]:
    """Connect a container to a network. Return notes for the user."""
    target = _network(instance, network)
    if wanted.address and target.is_default:
        raise MinirunError("user specified IP address is supported on user defined networks only")
    if wanted.aliases and target.is_default:
        raise MinirunError("network-scoped alias is supported only for containers in user defined networks")
    member = find_container(instance.store, container)
    return hot_update.connect(instance, member, target, resolve_links(instance, replace(wanted, network=target.name)))


@app.command("disconnect")
def disconnect(
    network: _Network,
    container: AnyContainer,
    force: Annotated[bool, Option("--force", "-f", help="Force the container to disconnect from a network")] = False,
) -> None:
    """Disconnect a container from a network."""
    disconnect_from(open_instance(), network, container, force)


def disconnect_from(instance: Instance, network: str, container: str, force: bool) -> None:
    """Disconnect a container from a network, if only from one that has been removed.

    force: a container that has been removed is no error
    """
    try:
        target = _network(instance, network)
    except NotFoundError:
        if not hot_update.leave_removed(instance, find_container(instance.store, container), network):
            raise
        return
    try:
        member = find_container(instance.store, container)
    except NotFoundError:
        if force:
            return  # nothing of a removed container is left in any network
        raise
    hot_update.disconnect(instance, member, target)


def _network(instance: Instance, name: str) -> Network:
    if name == DEFAULT_NETWORK:
        return network_by_name(instance, name)
    if name in RESERVED_NETWORKS:
        raise MinirunError(f"container cannot be disconnected from {name} network or connected to {name} network")
    return find_network(instance.store, name)
