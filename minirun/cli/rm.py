"""minirun rm."""

from typing import Annotated

import typer

from minirun.cli.each import for_each
from minirun.cli.opening import open_instance
from minirun.stopping import remove


def command(
    containers: Annotated[list[str], typer.Argument(metavar="CONTAINER...")],
    force: Annotated[
        bool, typer.Option("--force", "-f", help="Kill a running container; a missing one is fine")
    ] = False,
) -> None:
    instance = open_instance()
    for_each(instance, containers, lambda container: remove(instance, container, force), missing_is_fine=force)
