"""minirun stop."""

from typing import Annotated

import typer

from minirun.cli.each import for_each
from minirun.cli.opening import open_instance
from minirun.signals import parse_signal
from minirun.stopping import stop

DEFAULT_PATIENCE = 10
Containers = Annotated[list[str], typer.Argument(metavar="CONTAINER...")]
Patience = Annotated[
    int, typer.Option("--timeout", "--time", "-t", help="Seconds to wait before SIGKILL, -1: for ever")
]
StopSignal = Annotated[str, typer.Option("--signal", "-s", help="Signal to send to the container")]


def command(containers: Containers, patience: Patience = DEFAULT_PATIENCE, name: StopSignal = "SIGTERM") -> None:
    instance = open_instance()
    number = parse_signal(name)
    for_each(instance, containers, lambda container: stop(instance, container, number, limit(patience)))


def limit(patience: int) -> float | None:
    """Seconds until SIGKILL; None: for ever."""
    return None if patience < 0 else float(patience)
