"""What run, start, restart, attach and wait have in common: monitors, and what is said of how a container ended."""

import sys

from minirun.cli.app import session, tell_operations, warn
from minirun.cli.attach_session import CUT_OFF, DETACHED, GONE, Attachment, Manner, Outcome
from minirun.engine.lifecycle import KILLED, MONITOR_LOST
from minirun.engine.random_names import random_name
from minirun.engine.start import Launch
from minirun.errors import ConflictError
from minirun.instance import Instance
from minirun.model import Container


def first_launch() -> Launch:
    early = session().launch
    assert early is not None, "__main__ forks a monitor for every verb that starts something, when root calls it"
    return Launch(*early)


def free_name(instance: Instance) -> str:
    for _ in range(100):
        name = random_name()
        if not instance.store.find_containers(name):
            return name
    raise ConflictError("no free random name was found", "give one with --name")


def confirm(instance: Instance, container: Container, launch: Launch, say: str) -> int:
    """Wait until the program runs, and print `say`; otherwise why it does not."""
    outcome = Attachment(launch.channel, Manner(output=False)).until_started()
    if outcome is None:
        print(say, flush=True)
        return 0
    return _told(instance, container, launch, outcome)


def follow(instance: Instance, container: Container, launch: Launch, manner: Manner) -> int:
    sys.stdout.flush()
    return _told(instance, container, launch, Attachment(launch.channel, manner, tell_operations).run())


def _told(instance: Instance, container: Container, launch: Launch, outcome: Outcome) -> int:
    if outcome.text:
        launch.take_back(instance, container, outcome.code, outcome.text)
    return tell(instance, container, outcome)


def tell(instance: Instance, container: Container, outcome: Outcome) -> int:
    """The exit code for it; what is not the program's own end is said on standard error."""
    if outcome is DETACHED:
        warn("read escape sequence")
        return 0
    if outcome is CUT_OFF:
        return 141
    if outcome is GONE:
        return _monitor_gone(instance, container)
    if outcome.text:
        warn(f"minirun: {outcome.text}")
    return outcome.code


def _monitor_gone(instance: Instance, container: Container) -> int:
    """The channel closed without a word: the monitor was killed. What it had is taken back here."""
    from minirun.engine.stop import take_back  # not needed by a start that goes well

    current = instance.store.container(container.id)
    if current is not None:
        take_back(instance, current)
        current = instance.store.container(container.id)
    warn(f"minirun: container {container.name}: {current.error if current and current.error else MONITOR_LOST}")
    return current.exit_code if current else KILLED
