"""What run, start, restart and system start have in common: shims, waiting, and how a container's end is reported."""

import sys
from dataclasses import dataclass, replace
from typing import Annotated

from typer import Option

from minirun.cli.container.attach_session import CUT_OFF, DETACHED, GONE, Attachment, Manner, Outcome
from minirun.cli.session import print_operations, session, warn
from minirun.engine.lifecycle import KILLED, SHIM_LOST
from minirun.engine.random_names import random_name
from minirun.engine.readiness import wait_for_container
from minirun.engine.start import WaitingShim
from minirun.engine.stop import clean_up_lost_run
from minirun.errors import ConflictError, MinirunError
from minirun.instance import Instance
from minirun.model import Container


@dataclass(frozen=True)
class WaitOptions:
    """--wait of run and start."""

    wait: Annotated[
        bool,
        Option("--wait", help="With a detached container, return when it is ready: healthy, or listening on its ports"),
    ] = False
    wait_timeout: Annotated[
        str, Option("--wait-timeout", help="Seconds that --wait waits at most (default: no limit)", metavar="seconds")
    ] = ""

    def patience(self, detached: bool, how: str) -> float | None:
        """Seconds, 0 for no limit; None if --wait was not given. `how`: what makes a container detached."""
        if self.wait_timeout and not self.wait:
            raise MinirunError("--wait-timeout goes with --wait")
        if self.wait and not detached:
            raise MinirunError(f"--wait goes with {how}: an attached command is there until the container ends")
        return parse_seconds(self.wait_timeout, "--wait-timeout") if self.wait else None


def wait_until_ready(instance: Instance, container: Container, seconds: float) -> None:
    """Wait until a container is healthy or listens on its ports, at most `seconds` (0: no limit)."""
    wait_for_container(instance, container, seconds, warn)


def parse_seconds(text: str, flag: str) -> float:
    """Seconds of an option's value; 0 for none, which means no limit."""
    whole, _, fraction = text.partition(".")
    digits = whole + fraction
    if text and not (digits.isascii() and digits.isdigit() and len(digits) < 12 and whole):
        raise MinirunError(f'invalid argument "{text}" for "{flag}" flag: not a number of seconds')
    return float(text or 0)


def free_name(instance: Instance) -> str:
    """A random name that no container has."""
    for _ in range(100):
        name = random_name()
        if not instance.store.find_containers(name):
            return name
    raise ConflictError("no free random name was found", "give one with --name")


def confirm(instance: Instance, container: Container, launch: WaitingShim, say: str) -> int:
    """Wait until the program runs, and print `say`; otherwise report why it does not. Returns the exit code."""
    outcome = Attachment(launch.channel, Manner(output=False)).until_started()
    if outcome is None:
        print(say, flush=True)
        return 0
    return _report(instance, container, launch, outcome)


def follow(instance: Instance, container: Container, launch: WaitingShim, manner: Manner) -> int:
    """Carry the container's streams until it ends. Returns the exit code."""
    sys.stdout.flush()
    current = session()
    manner = replace(manner, name=container.name)
    return _report(
        instance, container, launch, Attachment(launch.channel, manner, lambda: print_operations(current)).run()
    )


def _report(instance: Instance, container: Container, launch: WaitingShim, outcome: Outcome) -> int:
    if outcome.text:
        launch.undo_start(instance, container, outcome.code, outcome.text)
    return report(instance, container, outcome)


def report(instance: Instance, container: Container, outcome: Outcome) -> int:
    """The exit code for an outcome; anything but the program's own end is told on standard error."""
    if outcome is DETACHED:
        warn("read escape sequence")
        return 0
    if outcome is CUT_OFF:
        return 141
    if outcome is GONE:
        return _shim_gone(instance, container)
    if outcome.text:
        warn(f"minirun: {outcome.text}")
    return outcome.code


def _shim_gone(instance: Instance, container: Container) -> int:
    """The channel closed without a message: the shim was killed. What it had is taken back here."""
    current = instance.store.container(container.id)
    if current is not None:
        clean_up_lost_run(instance, current)
        current = instance.store.container(container.id)
    warn(f"minirun: container {container.name}: {current.error if current and current.error else SHIM_LOST}")
    return current.exit_code if current else KILLED
