"""minirun rename."""

from typing import Annotated

import typer

from minirun import parse
from minirun.cli.opening import open_instance
from minirun.lookup import find_container
from minirun.renaming import rename


def command(
    container: Annotated[str, typer.Argument(metavar="CONTAINER")],
    new_name: Annotated[str, typer.Argument(metavar="NEW_NAME")],
) -> None:
    parse.check_name(new_name)
    instance = open_instance()
    rename(instance, find_container(instance.store, container), new_name)
