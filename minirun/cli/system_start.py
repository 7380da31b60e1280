"""minirun system start: after a reboot or a crash, what should be running runs again."""

from minirun.cli.app import warn_of
from minirun.cli.opening import open_instance
from minirun.cli.starting import confirm, first_launch
from minirun.cli.verb import Verb
from minirun.engine.start import Launch, Terms, start
from minirun.errors import MinirunError
from minirun.instance import Instance
from minirun.model import ACTIVE, Container, Mode


class SystemStart(Verb):
    """Those with --restart=always start, those with unless-stopped if no user had stopped them. Each gets the
    addresses and ports that it had. A unit for systemd that calls it at boot: packaging/minirun.service."""

    most = 0

    def run(self) -> int:
        instance = open_instance()
        launch = first_launch()
        due = _in_order([one for one in instance.store.containers() if _is_due(one)])
        failed = 0
        for number, container in enumerate(due):
            failed |= _start(instance, container, launch.spare() if number < len(due) - 1 else launch)
        return failed


def _is_due(container: Container) -> bool:
    """As Docker does when its daemon starts. Of one that a user had stopped, only `always` says to start it."""
    policy = container.spec.restart.name
    if container.status in ACTIVE or policy == "no" or not container.started_at:
        return False
    return policy == "always" or (policy == "unless-stopped" and not container.stop_requested)


def _in_order(containers: list[Container]) -> list[Container]:
    """The oldest first, and whoever shares another's network after that one."""
    return sorted(containers, key=lambda one: (one.spec.network.mode is Mode.CONTAINER, one.created))


def _start(instance: Instance, container: Container, launch: Launch) -> int:
    try:
        start(instance, container, launch, Terms())
        return confirm(instance, container, launch, container.name) and 1
    except MinirunError as error:
        warn_of(error)
        return 1
