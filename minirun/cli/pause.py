"""minirun pause."""

from typing import Annotated

import typer

from minirun.cli.each import for_each
from minirun.cli.opening import open_instance
from minirun.stopping import freeze


def command(containers: Annotated[list[str], typer.Argument(metavar="CONTAINER...")]) -> None:
    instance = open_instance()
    for_each(instance, containers, lambda container: freeze(instance, container))
