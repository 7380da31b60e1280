"""What run, start, restart, attach and wait have in common: monitors, and what is said of how a container ended."""

import os
import socket
import sys

from minirun.attach import CUT_OFF, DETACHED, GONE, Attachment, Manner, Outcome
from minirun.cli.app import session, warn
from minirun.engine import Launch
from minirun.errors import ConflictError
from minirun.instance import Instance
from minirun.lifecycle import KILLED, MONITOR_LOST, finish, is_tended
from minirun.model import ACTIVE, Container
from minirun.names import random_name


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
    return tell(instance, container, outcome)


def follow(instance: Instance, container: Container, channel: socket.socket, manner: Manner) -> int:
    sys.stdout.flush()
    return tell(instance, container, Attachment(channel, manner).run())


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
    """It was killed, or it ended just before we could ask: the record tells."""
    _reap_children()
    current = instance.store.container(container.id)
    if current is None:
        return 0
    if current.status in ACTIVE and not is_tended(current):
        finish(instance, container.id, KILLED, MONITOR_LOST)
        current = instance.store.container(container.id) or current
    if current.error:
        warn(f"minirun: container {container.name}: {current.error}")
    return current.exit_code


def _reap_children() -> None:
    """A monitor that was forked from this command is its child: dead but unreaped it must not look alive."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass
