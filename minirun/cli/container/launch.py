"""What run, start, restart and system start have in common: shims, waiting, and how a container's end is reported."""

import sys
from dataclasses import dataclass, field, replace
from typing import Annotated

from typer import Option

from minirun.cli.container.attach_session import CUT_OFF, DETACHED, GONE, Attachment, Manner, Outcome
from minirun.cli.pflag import OptionalValue
from minirun.cli.session import print_operations, session, warn
from minirun.engine.lifecycle import KILLED, SHIM_LOST
from minirun.engine.random_names import random_name
from minirun.engine.readiness import wait_for_container
from minirun.engine.start import WaitingShim
from minirun.engine.stop import clean_up_lost_run
from minirun.errors import ConflictError, MinirunError
from minirun.instance import Instance
from minirun.model import Container
from minirun.network.operations import repair
from minirun.options.readiness import STARTED, Conditions, parse_conditions


@dataclass(frozen=True)
class WaitOptions:
    """--wait of run, start and restart."""

    wait: Annotated[
        list[str],
        Option(
            "--wait",
            help="Return when a detached container is ready: healthy, or listening on its ports; or as said: "
            "listening:PORT, log:REGEX, http:[PORT]/PATH[=STATUS], healthy",
            click_type=OptionalValue(STARTED),
            metavar="[=condition]",
        ),
    ] = field(default_factory=list)
    wait_timeout: Annotated[
        str, Option("--wait-timeout", help="Seconds that --wait waits at most (default: no limit)", metavar="seconds")
    ] = ""

    def patience(self, detached: bool, how: str) -> "Patience | None":
        """What to wait for; None if --wait was not given. `how`: what makes a container detached."""
        texts = [] if self.wait == ["false"] else self.wait
        if self.wait_timeout and not texts:
            raise MinirunError("--wait-timeout goes with --wait")
        if texts and not detached:
            raise MinirunError(f"--wait goes with {how}: an attached command is there until the container ends")
        conditions = parse_conditions(texts)
        return Patience(conditions, parse_seconds(self.wait_timeout, "--wait-timeout")) if texts else None


@dataclass(frozen=True)
class Patience:
    """What --wait waits for, and for how many seconds at most (0: no limit)."""

    conditions: Conditions
    seconds: float

    def wait(self, instance: Instance, container: Container) -> None:
        """Wait until a container is ready. MinirunError when it does not become ready."""
        wait_for_container(instance, container, self.conditions, self.seconds, warn)


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


def confirm(instance: Instance, container: Container, launch: WaitingShim, say: str, repairs: bool = False) -> int:
    """Wait until the program runs, and print `say`; otherwise report why it does not. Returns the exit code.

    With `repairs`, look for damage to the networks meanwhile: no other part of the command has.
    """
    if repairs:
        repair(instance)
    outcome = Attachment(launch.channel, Manner(output=False)).until_started()
    if outcome is None:
        print(say, flush=True)
        return 0
    return _report(instance, container, launch, outcome)


def follow(instance: Instance, container: Container, launch: WaitingShim, manner: Manner, repairs: bool = False) -> int:
    """Carry the container's streams until it ends. Returns the exit code.

    With `repairs`, look for damage to the networks when the program has begun.
    """

    def on_started() -> None:
        if repairs:
            repair(instance)
        print_operations(current)

    sys.stdout.flush()
    current = session()
    manner = replace(manner, name=container.name)
    return _report(instance, container, launch, Attachment(launch.channel, manner, on_started).run())


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
