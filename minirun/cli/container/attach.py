"""minirun attach."""

import os
import socket
from dataclasses import replace
from typing import Annotated

from typer import Option

from minirun.cli.container.attach_session import DETACHED, Attachment, Manner
from minirun.cli.container.launch import report
from minirun.cli.container.start import manner_for
from minirun.cli.parameters import DetachKeys, RunningContainer, SigProxy
from minirun.cli.session import commands, open_instance, warn
from minirun.engine.lifecycle import tell
from minirun.engine.protocol import ATTACH_SOCKET
from minirun.errors import MinirunError
from minirun.instance import Instance
from minirun.kernel.sockets import control_connect
from minirun.model import Container, Status
from minirun.store.lookup import find_container

app = commands()


@app.command("attach")
def attach(
    container: RunningContainer,
    detach_keys: DetachKeys = "",
    no_stdin: Annotated[bool, Option("--no-stdin", help="Do not attach STDIN")] = False,
    sig_proxy: SigProxy = True,
) -> int:
    """Attach local standard input, output, and error streams to a running container."""
    instance = open_instance()
    target = find_container(instance.store, container)
    if target.status is not Status.RUNNING:
        raise MinirunError("You cannot attach to a stopped container, start it first", f"minirun start -ai {container}")
    if target.paused:
        raise MinirunError("You cannot attach to a paused container, unpause it first", f"minirun unpause {container}")
    manner = manner_for(target, not no_stdin, sig_proxy, detach_keys)
    if manner.tty and manner.stdin and not os.isatty(0):
        raise MinirunError("the input device is not a TTY")
    return _joined(instance, target, manner)


def _joined(instance: Instance, container: Container, manner: Manner) -> int:
    attachment = Attachment(connect(instance, container), replace(manner, name=container.name))
    attachment.join()
    tell(instance, container.id, "attach")
    outcome = attachment.run()
    if outcome is DETACHED:
        warn("read escape sequence")
        return 1
    return report(instance, container, outcome)


def connect(instance: Instance, container: Container) -> socket.socket:
    """A channel to the shim of a running container. MinirunError if it has just ended."""
    try:
        return control_connect(str(instance.container_dir(container.id)), ATTACH_SOCKET)
    except OSError as error:
        raise MinirunError(f"container {container.name} has just ended") from error
