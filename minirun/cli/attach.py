"""minirun attach."""

import os
import socket

from minirun.cli.app import warn
from minirun.cli.attach_session import DETACHED, Attachment, Manner
from minirun.cli.opening import open_instance
from minirun.cli.start import manner_for
from minirun.cli.starting import tell
from minirun.cli.verb import Verb, switch, value
from minirun.engine.protocol import ATTACH_SOCKET
from minirun.errors import MinirunError
from minirun.instance import Instance
from minirun.kernel.sockets import control_connect
from minirun.model import Container, Status
from minirun.store.lookup import find_container


class Streams(Verb):
    """How to join a container's streams."""

    sig_proxy = switch("sig-proxy", "", "Proxy all received signals to the process", True)
    detach_keys = value("detach-keys", "", "Override the key sequence for detaching a container")


class Attach(Streams):
    usage = "CONTAINER"
    least = most = 1
    completes = "running"
    no_stdin = switch("no-stdin", "", "Do not attach STDIN")

    def run(self) -> int:
        instance = open_instance()
        container = self.words[0]
        found = find_container(instance.store, container)
        if found.status is not Status.RUNNING:
            raise MinirunError(
                "You cannot attach to a stopped container, start it first", f"minirun start -ai {container}"
            )
        if found.paused:
            raise MinirunError(
                "You cannot attach to a paused container, unpause it first", f"minirun unpause {container}"
            )
        manner = manner_for(found, not self.no_stdin, self.sig_proxy, self.detach_keys)
        if manner.tty and manner.stdin and not os.isatty(0):
            raise MinirunError("the input device is not a TTY")
        return _joined(instance, found, manner)


def _joined(instance: Instance, container: Container, manner: Manner) -> int:
    attachment = Attachment(connect(instance, container), manner)
    attachment.join()
    outcome = attachment.run()
    if outcome is DETACHED:
        warn("read escape sequence")
        return 1
    return tell(instance, container, outcome)


def connect(instance: Instance, container: Container) -> socket.socket:
    try:
        return control_connect(str(instance.container_dir(container.id)), ATTACH_SOCKET)
    except OSError as error:
        raise MinirunError(f"container {container.name} has just ended") from error
