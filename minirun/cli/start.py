"""minirun start."""

from typing import Annotated

import typer

from minirun import attach
from minirun.cli.app import exit_with, session, warn
from minirun.cli.opening import open_instance
from minirun.cli.starting import confirm, first_launch, follow
from minirun.engine import Launch, Terms, start
from minirun.errors import MinirunError
from minirun.instance import Instance
from minirun.lookup import find_container
from minirun.model import ACTIVE, Container


def command(
    containers: Annotated[list[str], typer.Argument(metavar="CONTAINER...")],
    attached: Annotated[bool, typer.Option("--attach", "-a", help="Attach STDOUT/STDERR and forward signals")] = False,
    interactive: Annotated[bool, typer.Option("--interactive", "-i", help="Attach container's STDIN")] = False,
    detach_keys: Annotated[str, typer.Option("--detach-keys", help="Key sequence for detaching")] = "",
    sig_proxy: Annotated[bool, typer.Option("--sig-proxy/--no-sig-proxy", hidden=True)] = True,
) -> None:
    instance = open_instance()
    launch = first_launch()
    if attached or interactive:
        if len(containers) > 1:
            raise MinirunError("you cannot start and attach multiple containers at once")
        exit_with(_attached(instance, containers[0], launch, interactive, sig_proxy, detach_keys))
    exit_with(start_all(instance, containers, launch))


def start_all(instance: Instance, references: list[str], launch: Launch) -> int:
    """Each by a monitor of its own: spares first, the one in waiting is for the last."""
    failed = 0
    for number, reference in enumerate(references):
        try:
            container = find_container(instance.store, reference)
            if container.status in ACTIVE:
                print(reference)
                continue
            mine = launch.spare() if number < len(references) - 1 else launch
            start(instance, container, mine, Terms())
            failed |= confirm(instance, container, mine, reference) and 1
        except MinirunError as error:
            warn(f"minirun: {error.message}" + (f"\n{error.hint}" if error.hint else ""))
            failed = 1
    return failed


def _attached(
    instance: Instance, reference: str, launch: Launch, interactive: bool, proxy: bool, detach_keys: str
) -> int:
    container = find_container(instance.store, reference)
    if container.status in ACTIVE:
        raise MinirunError(f"container {container.name} is already running", "minirun attach joins it")
    manner = manner_for(container, interactive, proxy, detach_keys)
    session().fail_with(1)
    size = attach.size_of_terminal() if container.spec.tty else (0, 0)
    start(instance, container, launch, Terms(manner.flags, size))
    return follow(instance, container, launch.channel, manner)


def manner_for(container: Container, stdin: bool, proxy: bool, detach_keys: str) -> attach.Manner:
    return attach.Manner(
        stdin=stdin and container.spec.interactive,
        tty=container.spec.tty,
        proxy=proxy,
        detach_keys=attach.parse_detach_keys(detach_keys),
        end_with_reader=container.spec.auto_remove,
    )
