"""minirun start."""

from minirun.cli import attach_session
from minirun.cli.app import session, warn_of
from minirun.cli.opening import open_instance
from minirun.cli.readying import WaitFlags, wait_until_ready
from minirun.cli.starting import confirm, first_launch, follow
from minirun.cli.verb import switch, value
from minirun.engine.start import Launch, Terms, start
from minirun.errors import MinirunError
from minirun.instance import Instance
from minirun.kernel import terminal
from minirun.model import ACTIVE, Container
from minirun.store.lookup import find_container


class Start(WaitFlags):
    usage = "CONTAINER [CONTAINER...]"
    least = 1
    completes = "stopped"
    attached = switch("attach", "a", "Attach STDOUT/STDERR and forward signals")
    interactive = switch("interactive", "i", "Attach container's STDIN")
    detach_keys = value("detach-keys", "", "Override the key sequence for detaching a container")
    sig_proxy = switch("sig-proxy", "", "Proxy all received signals to the process", True, hidden=True)

    def run(self) -> int:
        patience = self.patience(not self.attached and not self.interactive, "containers that start detached")
        instance = open_instance()
        launch = first_launch()
        if not self.attached and not self.interactive:
            code = start_all(instance, self.words, launch)
            return code if patience is None or code else _wait(instance, self.words, patience)
        if len(self.words) > 1:
            raise MinirunError("you cannot start and attach multiple containers at once")
        return _attached(instance, self.words[0], launch, self.interactive, self.sig_proxy, self.detach_keys)


def _wait(instance: Instance, references: list[str], patience: float) -> int:
    for reference in references:
        wait_until_ready(instance, find_container(instance.store, reference), patience)
    return 0


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
            warn_of(error)
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
    size = terminal.size_of_caller() if container.spec.tty else (0, 0)
    start(instance, container, launch, Terms(manner.flags, size))
    return follow(instance, container, launch, manner)


def manner_for(container: Container, stdin: bool, proxy: bool, detach_keys: str) -> attach_session.Manner:
    return attach_session.Manner(
        stdin=stdin and container.spec.interactive,
        tty=container.spec.tty,
        proxy=proxy,
        detach_keys=attach_session.parse_detach_keys(detach_keys),
        end_with_reader=container.spec.auto_remove,
    )
