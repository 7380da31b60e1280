"""minirun start, minirun restart."""

from collections.abc import Callable
from typing import Annotated

from typer import Option

from minirun.cli.container import attach_session
from minirun.cli.container.launch import Patience, WaitOptions, confirm, follow
from minirun.cli.container.lifecycle import StopOptions
from minirun.cli.each import for_each_at_once
from minirun.cli.parameters import AnyContainers, DetachKeys, StoppedContainers, with_option_groups
from minirun.cli.session import commands, open_instance, require_root, session, warn_of
from minirun.engine.lifecycle import tell
from minirun.engine.start import AlreadyStartedError, StartOptions, WaitingShim
from minirun.engine.start import start as start_container
from minirun.engine.stop import begin_stop_for_restart, restore_auto_remove
from minirun.errors import MinirunError
from minirun.instance import Instance
from minirun.kernel import terminal
from minirun.model import ACTIVE, Container
from minirun.shim import prefork
from minirun.store.lookup import find_container

app = commands()


@app.command("start")
@with_option_groups
def start(
    containers: StoppedContainers,
    waiting: WaitOptions,
    attach: Annotated[bool, Option("--attach", "-a", help="Attach STDOUT/STDERR and forward signals")] = False,
    interactive: Annotated[bool, Option("--interactive", "-i", help="Attach container's STDIN")] = False,
    detach_keys: DetachKeys = "",
    sig_proxy: Annotated[
        bool, Option("--sig-proxy", help="Proxy all received signals to the process", hidden=True)
    ] = True,
) -> int:
    """Start one or more stopped containers."""
    attached = attach or interactive
    patience = waiting.patience(not attached, "containers that start detached")
    require_root()
    launch = WaitingShim(*prefork.spawn())
    instance = open_instance()
    if not attached:
        code = start_all(instance, containers, launch)
        return code if patience is None or code else _wait(instance, containers, patience)
    if len(containers) > 1:
        raise MinirunError("you cannot start and attach multiple containers at once")
    container = find_container(instance.store, containers[0])
    if container.status in ACTIVE:
        raise MinirunError(f"container {container.name} is already running", "minirun attach joins it")
    manner = manner_for(container, interactive, sig_proxy, detach_keys)
    session().fail_with(1)
    size = terminal.size_of_caller() if container.spec.tty else (0, 0)
    start_container(instance, container, launch, StartOptions(manner.flags, size))
    return follow(instance, container, launch, manner)


def _wait(instance: Instance, references: list[str], patience: Patience) -> int:
    for reference in references:
        patience.wait(instance, find_container(instance.store, reference))
    return 0


def start_all(instance: Instance, references: list[str], launch: WaitingShim, event: str = "") -> int:
    """Start containers detached, each by its own shim (spares, then `launch`). Returns 1 if any failed.

    `event`: one that tells of each that was started, besides its start.
    """
    failed = 0
    for number, reference in enumerate(references):
        try:
            container = find_container(instance.store, reference)
            if container.status in ACTIVE:
                print(reference)
                continue
            mine = launch.fork_spare() if number < len(references) - 1 else launch
            start_container(instance, container, mine, StartOptions())
            if confirm(instance, container, mine, reference):
                failed = 1
            elif event:
                tell(instance, container.id, event)
        except AlreadyStartedError:
            print(reference)
        except MinirunError as error:
            warn_of(error)
            failed = 1
    return failed


def manner_for(container: Container, stdin: bool, proxy: bool, detach_keys: str) -> attach_session.Manner:
    """How start -a and attach join a container's streams."""
    return attach_session.Manner(
        stdin=stdin and container.spec.interactive,
        tty=container.spec.tty,
        proxy=proxy,
        detach_keys=attach_session.parse_detach_keys(detach_keys),
        end_with_reader=container.spec.auto_remove,
    )


@app.command("restart")
@with_option_groups
def restart(containers: AnyContainers, stopping: StopOptions, waiting: WaitOptions) -> int:
    """Restart one or more containers."""
    number = stopping.signal_number
    patience = waiting.patience(detached=True, how="")
    require_root()
    launch = WaitingShim(*prefork.spawn())
    instance = open_instance()
    found: list[Container] = []
    stopped: list[str] = []

    def begin(reference: str) -> Callable[[], None]:
        container = find_container(instance.store, reference)
        found.append(container)
        wait = begin_stop_for_restart(instance, container, number, stopping.limit(container))

        def end() -> None:
            wait()
            stopped.append(reference)

        return end

    try:
        for_each_at_once(list(dict.fromkeys(containers)), begin, silent=True)
        failed = start_all(instance, stopped, launch, "restart")
    finally:  # also of one that could not be stopped, and after Ctrl-C
        for container in found:
            restore_auto_remove(instance, container)
    if failed or len(stopped) < len(set(containers)):
        return 1
    return 0 if patience is None else _wait(instance, stopped, patience)
