"""minirun network create|inspect|ls|rm."""

import json

from minirun import parse
from minirun.cli.each import for_each
from minirun.cli.opening import open_instance
from minirun.cli.table import print_table
from minirun.cli.verb import Verb, switch, value
from minirun.describe import describe_network
from minirun.errors import MinirunError
from minirun.lookup import find_network
from minirun.model import DEFAULT_NETWORK
from minirun.network import custom


class List(Verb):
    most = 0
    quiet = switch("quiet", "q", "Only display network IDs")

    def run(self) -> None:
        instance = open_instance()
        custom.default_network(instance)
        networks = sorted(instance.store.networks(), key=lambda network: network.name)
        if self.quiet:
            for network in networks:
                print(network.id[:12])
            return
        rows = [(network.id[:12], network.name, "bridge", "local") for network in networks]
        rows += [("-", name, name if name == "host" else "null", "local") for name in ("host", "none")]
        print_table(("NETWORK ID", "NAME", "DRIVER", "SCOPE"), sorted(rows, key=lambda row: row[1]))


class Create(Verb):
    usage = "NETWORK"
    least = most = 1
    driver = value("driver", "d", "Driver to manage the Network", "bridge")
    subnet = value("subnet", "", "Subnet in CIDR format that represents a network segment")
    gateway = value("gateway", "", "IPv4 Gateway for the master subnet")

    def run(self) -> None:
        name = parse.check_name(self.words[0], "network")
        if self.driver != "bridge":
            raise MinirunError(f"could not find plugin {self.driver}: the driver is bridge")
        if self.gateway and not self.subnet:
            raise MinirunError("every gateway needs a subnet: give --subnet with --gateway")
        network = custom.create_network(
            open_instance(),
            name,
            parse.parse_subnet(self.subnet) if self.subnet else None,
            parse.parse_address(self.gateway) if self.gateway else None,
        )
        print(network.id)


class Inspect(Verb):
    usage = "NETWORK [NETWORK...]"
    least = 1
    completes = "networks"

    def run(self) -> None:
        instance = open_instance()
        if DEFAULT_NETWORK in self.words:
            custom.default_network(instance)
        found = [describe_network(instance, find_network(instance.store, name)) for name in self.words]
        print(json.dumps(found, indent=4))


class Remove(Verb):
    usage = "NETWORK [NETWORK...]"
    least = 1
    completes = "networks"

    def run(self) -> int:
        instance = open_instance()

        def remove(name: str) -> None:
            if name in (DEFAULT_NETWORK, *custom.RESERVED):
                raise MinirunError(f"{name} is a pre-defined network and cannot be removed")
            custom.remove_network(instance, find_network(instance.store, name))

        return for_each(self.words, remove)
