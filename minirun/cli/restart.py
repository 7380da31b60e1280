"""minirun restart."""

from typing import Annotated

import typer

from minirun.cli.app import exit_with, warn
from minirun.cli.opening import open_instance
from minirun.cli.start import start_all
from minirun.cli.starting import first_launch
from minirun.cli.stop import patience_for
from minirun.errors import MinirunError
from minirun.instance import Instance
from minirun.lookup import find_container
from minirun.model import ACTIVE
from minirun.signals import parse_signal
from minirun.stopping import stop_keeping


def command(
    containers: Annotated[list[str], typer.Argument(metavar="CONTAINER...")],
    patience: Annotated[
        int | None, typer.Option("--timeout", "--time", "-t", help="Seconds to wait before SIGKILL, -1: for ever")
    ] = None,
    name: Annotated[str | None, typer.Option("--signal", "-s", help="Signal to send to the container")] = None,
) -> None:
    instance = open_instance()
    number = parse_signal(name) if name else None
    stopped = [reference for reference in containers if _stop(instance, reference, number, patience)]
    failed = start_all(instance, stopped, first_launch())
    exit_with(1 if failed or len(stopped) < len(containers) else 0)


def _stop(instance: Instance, reference: str, number: int | None, patience: int | None) -> bool:
    try:
        container = find_container(instance.store, reference)
        if container.status in ACTIVE:
            stop_keeping(instance, container, number, patience_for(container, patience))
    except MinirunError as error:
        warn(f"minirun: {error.message}")
        return False
    return True
