"""minirun restart."""

from minirun.cli.app import exit_with, warn
from minirun.cli.opening import open_instance
from minirun.cli.start import start_all
from minirun.cli.starting import first_launch
from minirun.cli.stop import DEFAULT_PATIENCE, Containers, Patience, StopSignal, limit
from minirun.errors import MinirunError
from minirun.instance import Instance
from minirun.lookup import find_container
from minirun.model import Container
from minirun.signals import parse_signal
from minirun.stopping import keep_no_longer, stop_keeping


def command(containers: Containers, patience: Patience = DEFAULT_PATIENCE, name: StopSignal = "SIGTERM") -> None:
    instance = open_instance()
    number = parse_signal(name)
    stopped: dict[str, Container] = {}
    for reference in containers:
        if found := _stop(instance, reference, number, patience):
            stopped[reference] = found
    failed = start_all(instance, list(stopped), first_launch())
    for container in stopped.values():
        keep_no_longer(instance, container)
    exit_with(1 if failed or len(stopped) < len(set(containers)) else 0)


def _stop(instance: Instance, reference: str, number: int, patience: int) -> Container | None:
    """The container as it was, or None when there is none."""
    try:
        container = find_container(instance.store, reference)
        stop_keeping(instance, container, number, limit(patience))
    except MinirunError as error:
        warn(f"minirun: {error.message}")
        return None
    return container
