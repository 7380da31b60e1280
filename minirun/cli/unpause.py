"""minirun unpause."""

from typing import Annotated

import typer

from minirun.cli.each import for_each
from minirun.cli.opening import open_instance
from minirun.errors import MinirunError
from minirun.instance import Instance
from minirun.model import Container
from minirun.stopping import thaw


def command(containers: Annotated[list[str], typer.Argument(metavar="CONTAINER...")]) -> None:
    instance = open_instance()
    for_each(instance, containers, lambda container: _unpause(instance, container))


def _unpause(instance: Instance, container: Container) -> None:
    if not container.paused:
        raise MinirunError(f"Container {container.id} is not paused")
    thaw(instance, container)
