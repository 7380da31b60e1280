"""minirun port."""

from typing import Annotated

import typer

from minirun.cli.opening import open_instance
from minirun.errors import MinirunError
from minirun.lookup import find_container


def command(
    container: Annotated[str, typer.Argument(metavar="CONTAINER")],
    private: Annotated[str | None, typer.Argument(metavar="[PRIVATE_PORT[/PROTO]]")] = None,
) -> None:
    instance = open_instance()
    found = find_container(instance.store, container)
    ports = instance.store.ports(container=found.id)
    if private is None:
        for port in ports:
            mapping = port.mapping
            print(f"{mapping.container_port}/{mapping.protocol} -> {mapping.host_address}:{mapping.host_port}")
        return
    wanted = private if "/" in private else f"{private}/tcp"
    matching = [port for port in ports if f"{port.mapping.container_port}/{port.mapping.protocol}" == wanted]
    if not matching:
        raise MinirunError(f"No public port '{wanted}' published for {found.name}")
    for port in matching:
        print(f"{port.mapping.host_address}:{port.mapping.host_port}")
