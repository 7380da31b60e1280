"""minirun stop."""

from typing import Annotated

import typer

from minirun.cli.each import for_each
from minirun.cli.opening import open_instance
from minirun.signals import parse_signal
from minirun.stopping import stop


def command(
    containers: Annotated[list[str], typer.Argument(metavar="CONTAINER...")],
    patience: Annotated[
        int, typer.Option("--timeout", "--time", "-t", help="Seconds to wait before SIGKILL, -1: for ever")
    ] = 10,
    name: Annotated[str, typer.Option("--signal", "-s", help="Signal to send to the container")] = "SIGTERM",
) -> None:
    instance = open_instance()
    number = parse_signal(name)
    limit = None if patience < 0 else float(patience)
    for_each(instance, containers, lambda container: stop(instance, container, number, limit))
