"""minirun wait."""

import socket
from contextlib import ExitStack, closing
from typing import Annotated

from typer import Option

from minirun.cli.container.attach_session import GONE, Attachment, Manner
from minirun.cli.container.launch import parse_seconds
from minirun.cli.parameters import NONE, RunningContainers
from minirun.cli.session import commands, open_instance, warn
from minirun.engine.liveness import wait_until_started
from minirun.engine.protocol import ATTACH_SOCKET
from minirun.engine.readiness import ReadinessCheck, wait_until_ready
from minirun.engine.reconcile import reconcile
from minirun.engine.stop import wait_for_cleanup
from minirun.errors import MinirunError
from minirun.instance import Instance
from minirun.kernel.sockets import control_connect
from minirun.model import ACTIVE, Container, Status
from minirun.options import ports
from minirun.store.lookup import find_container

app = commands()


@app.command("wait")
def wait(
    containers: RunningContainers,
    listening: Annotated[
        list[str],
        Option("--listening", help="Wait until a port is listened on, and print the containers", metavar="port"),
    ] = NONE,
    timeout: Annotated[
        str,
        Option("--timeout", help="Seconds to wait with --listening at most (default: no limit)", metavar="seconds"),
    ] = "",
) -> int:
    """Block until one or more containers stop, then print their exit codes."""
    if listening:
        return _until_listening(containers, listening, timeout)
    if timeout:
        raise MinirunError("--timeout goes with --listening")
    return _until_ended(containers)


def _until_listening(references: list[str], texts: list[str], timeout: str) -> int:
    """Print each container as it was typed, as start does: there is no exit code yet."""
    groups = [[ports.parse_container_port(text)] for text in texts]
    seconds = parse_seconds(timeout, "--timeout")
    instance = open_instance()
    with ExitStack() as opened:
        containers = [find_container(instance.store, reference) for reference in references]
        waiting = [
            opened.enter_context(closing(ReadinessCheck(instance, container, groups))) for container in containers
        ]
        wait_until_ready(waiting, seconds, warn)
    print("\n".join(references))
    return 0


def _until_ended(references: list[str]) -> int:
    """Connect to all before waiting for any: one with --rm can be asked only while it runs."""
    instance = open_instance()
    failed = False
    waiting: list[tuple[Container, socket.socket | None]] = []
    for reference in references:
        try:
            container = find_container(instance.store, reference)
            waiting.append((container, _connect(instance, container)))
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
    """A channel to its shim; None if it has ended, and its record says how."""
    container = wait_until_started(instance, container)
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
    wait_for_cleanup(instance, container)
    reconcile(instance)
    current = instance.store.container(container.id)
    if current is None:
        raise MinirunError(f"container {container.name} was removed before its exit code was known")
    return 0 if current.status is Status.CREATED else current.exit_code
