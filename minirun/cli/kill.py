"""minirun kill."""

from typing import Annotated

import typer

from minirun.cli.each import for_each
from minirun.cli.opening import open_instance
from minirun.model import Container
from minirun.signals import parse_signal
from minirun.stopping import send, settle


def command(
    containers: Annotated[list[str], typer.Argument(metavar="CONTAINER...")],
    name: Annotated[str, typer.Option("--signal", "-s", help="Signal to send to the container")] = "SIGKILL",
) -> None:
    instance = open_instance()
    number = parse_signal(name)

    def act(container: Container) -> None:
        send(instance, container, number)
        if number == 9:
            settle(instance, container)

    for_each(instance, containers, act)
