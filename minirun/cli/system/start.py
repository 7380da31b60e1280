"""minirun system start: after a reboot or a crash, what should be running runs again."""

from typing import Annotated

from typer import Option

from minirun.cli.container.launch import confirm
from minirun.cli.session import commands, open_instance, require_root, warn_of
from minirun.engine.restart import is_lost
from minirun.engine.start import AlreadyStartedError, StartOptions, WaitingShim
from minirun.engine.start import start as start_container
from minirun.errors import MinirunError
from minirun.instance import Instance
from minirun.model import ACTIVE, Container, Mode
from minirun.shim import prefork

app = commands()


@app.command("start")
def start(
    lost: Annotated[
        bool, Option("--lost", help="Start those that were killed with their shim, as their restart policy says")
    ] = False,
) -> int:
    """Start the containers that should run, after a boot.

    Containers with --restart=always start; with unless-stopped, only those that no user had stopped. Each gets its
    former addresses and ports. packaging/minirun.service is a systemd unit that calls this at boot.
    """
    require_root()
    launch = WaitingShim(*prefork.spawn())
    instance = open_instance(revives=False)
    known = instance.store.containers()
    due = _in_order([one for one in known if is_lost(one) or (not lost and _is_due(one))])
    failed = 0
    for number, container in enumerate(due):
        failed |= _start(instance, container, launch.fork_spare() if number < len(due) - 1 else launch)
    return failed


def _is_due(container: Container) -> bool:
    """As Docker decides when its daemon starts: what a user had stopped starts only with `always`."""
    policy = container.spec.restart.name
    if container.status in ACTIVE or policy == "no" or not container.started_at:
        return False
    return policy == "always" or (policy == "unless-stopped" and not container.stop_requested)


def _in_order(containers: list[Container]) -> list[Container]:
    """The oldest first; containers that share another's network after all others."""
    return sorted(containers, key=lambda one: (one.spec.network.mode is Mode.CONTAINER, one.created))


def _start(instance: Instance, container: Container, launch: WaitingShim) -> int:
    try:
        start_container(instance, container, launch, StartOptions())
        return confirm(instance, container, launch, container.name) and 1
    except AlreadyStartedError:
        return 0
    except MinirunError as error:
        warn_of(error)
        return 1
