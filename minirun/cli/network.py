"""minirun network ls|create|inspect|rm."""

import json
from typing import Annotated

import typer

from minirun import parse
from minirun.cli.app import exit_with, warn
from minirun.cli.opening import open_instance
from minirun.cli.table import print_table
from minirun.describe import describe_network
from minirun.errors import MinirunError
from minirun.lookup import find_network
from minirun.model import DEFAULT_NETWORK
from minirun.network import custom

app = typer.Typer(no_args_is_help=True)


@app.command("ls", help="List networks")
def list_networks(
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only display network IDs")] = False,
) -> None:
    instance = open_instance()
    custom.default_network(instance)
    networks = sorted(instance.store.networks(), key=lambda network: network.name)
    if quiet:
        for network in networks:
            print(network.id[:12])
        return
    rows = [(network.id[:12], network.name, "bridge", "local") for network in networks]
    rows += [("-", name, name if name == "host" else "null", "local") for name in ("host", "none")]
    print_table(("NETWORK ID", "NAME", "DRIVER", "SCOPE"), sorted(rows, key=lambda row: row[1]))


@app.command("create", help="Create a network")
def create(
    name: Annotated[str, typer.Argument(metavar="NETWORK")],
    driver: Annotated[str, typer.Option("--driver", "-d", help="Driver to manage the network")] = "bridge",
    subnet: Annotated[str | None, typer.Option("--subnet", help="Subnet in CIDR format")] = None,
    gateway: Annotated[str | None, typer.Option("--gateway", help="IPv4 gateway of the subnet")] = None,
) -> None:
    parse.check_name(name, "network")
    if driver != "bridge":
        raise MinirunError(f"could not find plugin {driver}: the driver is bridge")
    if gateway and not subnet:
        raise MinirunError("every gateway needs a subnet: give --subnet with --gateway")
    network = custom.create_network(
        open_instance(),
        name,
        parse.parse_subnet(subnet) if subnet else None,
        parse.parse_address(gateway) if gateway else None,
    )
    print(network.id)


@app.command("inspect", help="Display detailed information on one or more networks")
def inspect(names: Annotated[list[str], typer.Argument(metavar="NETWORK...")]) -> None:
    instance = open_instance()
    if DEFAULT_NETWORK in names:
        custom.default_network(instance)
    print(json.dumps([describe_network(instance, find_network(instance.store, name)) for name in names], indent=4))


@app.command("rm", help="Remove one or more networks")
def remove(names: Annotated[list[str], typer.Argument(metavar="NETWORK...")]) -> None:
    instance = open_instance()
    failed = False
    for name in names:
        try:
            if name in (DEFAULT_NETWORK, *custom.RESERVED):
                raise MinirunError(f"{name} is a pre-defined network and cannot be removed")
            custom.remove_network(instance, find_network(instance.store, name))
            print(name)
        except MinirunError as error:
            warn(f"minirun: {error.message}" + (f"\n{error.hint}" if error.hint else ""))
            failed = True
    exit_with(1 if failed else 0)
