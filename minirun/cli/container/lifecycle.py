"""minirun stop, kill, pause, unpause, rm, rename, container prune."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from typer import Argument, Option

from minirun.cli.completion.values import removable, signals
from minirun.cli.each import for_each, for_each_at_once, for_each_container
from minirun.cli.output.filters import parse_filters
from minirun.cli.parameters import (
    NONE,
    AnyContainer,
    ForcePrune,
    RunningContainers,
    containers_argument,
    filter_option,
    with_option_groups,
)
from minirun.cli.prune import KEYS, Choice, choice_of, confirmed, print_reclaimed, print_removed, pruned
from minirun.cli.session import commands, open_instance
from minirun.engine import hot_update, lifecycle
from minirun.engine import remove as removal
from minirun.engine import stop as stopping
from minirun.engine.remove import prune_containers, stopped_containers
from minirun.errors import MinirunError
from minirun.instance import Instance
from minirun.model import Container
from minirun.options import values
from minirun.options.values import parse_signal
from minirun.store.lookup import find_container

app = commands()


@dataclass(frozen=True)
class StopOptions:
    """How stop and restart end a container."""

    signal: Annotated[str, Option("--signal", "-s", help="Signal to send to the container", autocompletion=signals)] = (
        ""
    )
    timeout: Annotated[
        int | None,
        Option(
            "--timeout",
            "--time",
            "-t",
            help="Seconds to wait before killing the container, -1: for ever (default 10)",
        ),
    ] = None

    @property
    def signal_number(self) -> int | None:
        """None: the container's own stop signal."""
        return parse_signal(self.signal) if self.signal else None

    def limit(self, container: Container) -> float | None:
        """Seconds until SIGKILL; None: for ever."""
        return stopping.stop_timeout(container, self.timeout)


@app.command("stop")
@with_option_groups
def stop(containers: RunningContainers, options: StopOptions) -> int:
    """Stop one or more running containers."""
    number = options.signal_number
    instance = open_instance()

    def begin(reference: str) -> Callable[[], None]:
        container = find_container(instance.store, reference)
        return stopping.begin_stop(instance, container, number, options.limit(container))

    return for_each_at_once(containers, begin)


@app.command("kill")
def kill(
    containers: RunningContainers,
    signal: Annotated[
        str, Option("--signal", "-s", help="Signal to send to the container", autocompletion=signals)
    ] = "SIGKILL",
) -> int:
    """Kill one or more running containers."""
    number = parse_signal(signal)
    instance = open_instance()

    def act(container: Container) -> None:
        try:
            stopping.send_signal(instance, container, number)
        except MinirunError as error:
            raise MinirunError(f"cannot kill container: {container.name}: {error.message}") from None
        if number == 9:
            stopping.wait_for_cleanup(instance, container)

    return for_each_container(instance, containers, act)


@app.command("pause")
def pause(containers: RunningContainers) -> int:
    """Pause all processes within one or more containers."""
    instance = open_instance()
    return for_each_container(instance, containers, lambda container: stopping.pause(instance, container))


@app.command("unpause")
def unpause(containers: Annotated[list[str], containers_argument("paused")]) -> int:
    """Unpause all processes within one or more containers."""
    instance = open_instance()

    def act(container: Container) -> None:
        if not container.paused:
            raise MinirunError(f"Container {container.id} is not paused")
        stopping.unpause(instance, container)

    return for_each_container(instance, containers, act)


@app.command("rm")
def rm(
    containers: Annotated[list[str], Argument(metavar="CONTAINER [CONTAINER...]", autocompletion=removable)],
    force: Annotated[bool, Option("--force", "-f", help="Kill a running container; a missing one is fine")] = False,
    link: Annotated[bool, Option("--link", "-l", help="Remove the specified link: CONTAINER/ALIAS")] = False,
    volumes: Annotated[
        bool, Option("--volumes", "-v", help="Remove anonymous volumes associated with the container")
    ] = False,
) -> int:
    """Remove one or more containers."""
    instance = open_instance()
    if link:
        return for_each(containers, lambda name: hot_update.unlink(instance, name), missing_is_fine=force)
    return for_each_container(
        instance,
        containers,
        lambda container: removal.remove(instance, container, force, volumes),
        missing_is_fine=force,
    )


@app.command("rename")
def rename(container: AnyContainer, new_name: Annotated[str, Argument(metavar="NEW_NAME")]) -> None:
    """Rename a container."""
    values.check_name(new_name)
    instance = open_instance()
    lifecycle.rename(instance, find_container(instance.store, container), new_name)


@app.command("prune")
def prune(
    force: ForcePrune = False,
    filters: Annotated[list[str], filter_option(KEYS, help='Provide filter values (e.g. "until=<duration>")')] = NONE,
) -> None:
    """Remove all stopped containers."""
    choice = choice_of(parse_filters(filters, KEYS))
    if not confirmed("This will remove all stopped containers.", force):
        return
    removed, freed = prune_stopped(open_instance(), choice)
    print_removed("Deleted Containers", removed)
    print_reclaimed(freed)


def prune_stopped(instance: Instance, choice: Choice) -> tuple[list[str], int]:
    """Remove the chosen stopped containers. Returns (ids removed, bytes freed)."""
    stopped = stopped_containers(instance)
    chosen = [one for one in stopped if choice.has(one.created, dict(one.spec.labels))]
    return pruned(instance, "container", *prune_containers(instance, chosen))
