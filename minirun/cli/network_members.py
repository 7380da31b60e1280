"""minirun network connect, network disconnect."""

import sys
from dataclasses import replace

from minirun.cli.opening import open_instance
from minirun.cli.verb import Verb, many, number, switch, value
from minirun.errors import MinirunError, NotFoundError
from minirun.instance import Instance
from minirun.model import DEFAULT_NETWORK, RESERVED_NETWORKS, Container, Network
from minirun.network.networks import network_by_name
from minirun.options.network_options import first_attachment
from minirun.store.lookup import find_container, find_network


class Connect(Verb):
    usage = "NETWORK CONTAINER"
    least = most = 2
    completes = "networks containers"
    ip = value("ip", "", 'IPv4 address (e.g., "172.30.100.104")', kind="ip")
    ip6 = value("ip6", "", 'IPv6 address (e.g., "2001:db8::33")', kind="ip")
    mac = value("mac-address", "", "MAC address of the container in the network")
    alias = many("alias", "", "Add network-scoped alias for the container", "strings")
    link = many("link", "", "Add link to another container")
    priority = number("gw-priority", "", "Of several networks the highest provides the default gateway")

    def run(self) -> None:
        from minirun.engine.hot_update import connect
        from minirun.engine.start_plan import with_linked_ids

        wanted = first_attachment(self.ip, self.ip6, self.mac, self.alias, self.link)
        instance = open_instance()
        network = _network(instance, self.words[0])
        if self.alias and network.is_default:
            raise MinirunError("network-scoped alias is supported only for containers in user defined networks")
        container = find_container(instance.store, self.words[1])
        attachment = with_linked_ids(instance, replace(wanted, priority=self.priority))
        for note in connect(instance, container, network, attachment):
            print(note, file=sys.stderr)


class Disconnect(Verb):
    usage = "NETWORK CONTAINER"
    least = most = 2
    completes = "networks containers"
    force = switch("force", "f", "Force the container to disconnect from a network")

    def run(self) -> None:
        from minirun.engine.hot_update import disconnect

        instance = open_instance()
        network = _network(instance, self.words[0])
        try:
            container: Container = find_container(instance.store, self.words[1])
        except NotFoundError:
            if self.force:
                return  # of one that is gone nothing is left in any network
            raise
        disconnect(instance, container, network)


def _network(instance: Instance, name: str) -> Network:
    if name == DEFAULT_NETWORK:
        return network_by_name(instance, name)
    if name in RESERVED_NETWORKS:
        raise MinirunError(f"container cannot be disconnected from {name} network or connected to {name} network")
    return find_network(instance.store, name)
