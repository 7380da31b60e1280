"""minirun stop."""

from typing import Annotated

import typer

from minirun.cli.each import for_each
from minirun.cli.opening import open_instance
from minirun.model import Container
from minirun.signals import parse_signal
from minirun.stopping import stop

_PATIENCE = 10


def command(
    containers: Annotated[list[str], typer.Argument(metavar="CONTAINER...")],
    patience: Annotated[
        int | None, typer.Option("--timeout", "--time", "-t", help="Seconds to wait before SIGKILL, -1: for ever")
    ] = None,
    name: Annotated[str | None, typer.Option("--signal", "-s", help="Signal to send to the container")] = None,
) -> None:
    instance = open_instance()
    number = parse_signal(name) if name else None
    for_each(
        instance,
        containers,
        lambda container: stop(instance, container, number, patience_for(container, patience)),
    )


def patience_for(container: Container, wanted: int | None) -> float | None:
    """Seconds until SIGKILL: what the command says, else --stop-timeout of its creation, else 10; None: for ever."""
    said = wanted if wanted is not None else container.spec.stop_timeout
    seconds = _PATIENCE if said is None else said
    return None if seconds < 0 else float(seconds)
