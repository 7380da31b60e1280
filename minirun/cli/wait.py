"""minirun wait."""

import socket
from contextlib import ExitStack, closing

from minirun.cli.app import warn
from minirun.cli.attach_session import GONE, Attachment, Manner
from minirun.cli.opening import open_instance
from minirun.cli.readying import parse_seconds
from minirun.cli.verb import Verb, many, value
from minirun.engine.liveness import past_its_start
from minirun.engine.protocol import ATTACH_SOCKET
from minirun.engine.reconcile import reconcile
from minirun.engine.stop import settle
from minirun.errors import MinirunError
from minirun.instance import Instance
from minirun.kernel.sockets import control_connect
from minirun.model import ACTIVE, Container, Status
from minirun.options import parse
from minirun.store.lookup import find_container


class Wait(Verb):
    usage = "CONTAINER [CONTAINER...]"
    least = 1
    completes = "running"
    listening = many("listening", "", "Wait until a port is listened on, and print the containers", "port")
    timeout = value("timeout", "", "Seconds to wait with --listening at most (default: no limit)", kind="seconds")

    def run(self) -> int:
        if self.listening:
            return self._until_listening()
        if self.timeout:
            raise MinirunError("--timeout goes with --listening")
        return self._until_ended()

    def _until_listening(self) -> int:
        """Prints each container as it was typed, as start does: there is no exit code yet."""
        from minirun.engine.readiness import Waiting, until_ready

        ports = [[parse.parse_private(text)] for text in self.listening]
        seconds = parse_seconds(self.timeout, "--timeout")
        instance = open_instance()
        with ExitStack() as opened:
            found = [find_container(instance.store, reference) for reference in self.words]
            waiting = [opened.enter_context(closing(Waiting(instance, one, ports))) for one in found]
            until_ready(waiting, seconds, warn)
        print("\n".join(self.words))
        return 0

    def _until_ended(self) -> int:
        """Connected to all before waiting for any: one with --rm can be asked only while it runs."""
        instance = open_instance()
        failed = False
        waiting: list[tuple[Container, socket.socket | None]] = []
        for reference in self.words:
            try:
                found = find_container(instance.store, reference)
                waiting.append((found, _connect(instance, found)))
            except MinirunError as error:
                warn(f"minirun: {error.message}")
                failed = True
        for container, channel in waiting:
            try:
                print(_code(instance, container, channel), flush=True)
            except MinirunError as error:
                warn(f"minirun: {error.message}")
                failed = True
        return 1 if failed else 0


def _connect(instance: Instance, container: Container) -> socket.socket | None:
    """None: it has ended, and its record says how."""
    container = past_its_start(instance, container)
    if container.status not in ACTIVE:
        return None
    try:
        return control_connect(str(instance.container_dir(container.id)), ATTACH_SOCKET)
    except OSError:
        return None


def _code(instance: Instance, container: Container, channel: socket.socket | None) -> int:
    if channel is not None:
        outcome = Attachment(channel, Manner(output=False, proxy=False)).until_ended()
        if outcome is not GONE:
            return outcome.code
    settle(instance, container)
    reconcile(instance)
    current = instance.store.container(container.id)
    if current is None:
        raise MinirunError(f"container {container.name} was removed before it told its exit code")
    return 0 if current.status is Status.CREATED else current.exit_code
