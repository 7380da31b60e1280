"""A process that is forked ahead of a command, while its worker waits: what most commands that start a container fork.

Forked later, it would cost the command the copying of the page tables, and then, in both processes, a copy of each page
that is written to (kernel/memory.py). It waits for a claim, which makes it what the launcher is, as if the command had
forked it; without one it ends with its worker, and the server, which inherits it, reaps it.
"""

import marshal
import os
import socket
import traceback
from collections.abc import Callable
from dataclasses import dataclass

from minirun.forkserver.inheritance import Inheritance
from minirun.forkserver.request import Request, RequestError, exactly
from minirun.kernel import processes
from minirun.kernel.memory import UsedPages

_SIZE = 4  # bytes
_STREAMS = (0, 1, 2)


@dataclass(frozen=True)
class ForkedAhead:
    """pid: the process, which waits
    channel: a descriptor of the socket that it lives by
    claim: makes it what the command is. ConnectionError: it is gone
    """

    pid: int
    channel: int
    claim: Callable[[], None]


@dataclass(frozen=True)
class Helper:
    """life: what such a process does once it is claimed, given its end of the channel
    offer: tells the command of one
    """

    life: Callable[[int], None]
    offer: Callable[[ForkedAhead], None]


class Ahead:
    """The process, as the worker sees it."""

    def __init__(self, helper: Helper, pages: UsedPages) -> None:
        """Fork it. pages: where it finds which memory the last one has used"""
        self._helper = helper
        self.channel, theirs = socket.socketpair()
        self.pid = processes.fork(lambda: _wait(theirs, helper.life, pages), lambda _: None)
        theirs.close()

    def offer(self, wanted: Request, peer: int, channel: int, launcher: int) -> None:
        """Let the command that `peer` has requested have it.

        channel, launcher: the numbers that its socket and the launcher's pidfd have by now
        """

        def claim() -> None:
            words = marshal.dumps((peer, wanted.words, wanted.environment, wanted.ignored, wanted.blocked))
            directories = [os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC) for name in ("/", ".")]
            fds = [launcher, *directories, *_STREAMS]
            processes.wake_elsewhere(self.pid)
            try:
                with socket.socket(fileno=os.dup(channel)) as to:
                    socket.send_fds(to, [len(words).to_bytes(_SIZE, "big")], fds)
                    to.sendall(words)
            finally:
                for fd in (launcher, *directories):
                    os.close(fd)

        self._helper.offer(ForkedAhead(self.pid, channel, claim))


def _wait(channel: socket.socket, life: Callable[[int], None], pages: UsedPages) -> int:
    """In the process: wait for the claim, be what the launcher is, and live."""
    os.setsid()
    processes.close_from(3, (channel.fileno(),))
    inheritance = Inheritance()
    pages.copy(stops=lambda: False)
    affinity = os.sched_getaffinity(0)
    fds: list[int] = []
    try:
        size = int.from_bytes(exactly(channel, _SIZE, fds), "big")
    except RequestError:  # nobody needs it
        processes.end_nicely()
        return 0
    os.sched_setaffinity(0, affinity)
    peer, words, environment, ignored, blocked = marshal.loads(exactly(channel, size, fds))
    launcher, root, directory, *streams = fds
    files = dict(zip(_STREAMS, streams, strict=True))
    wanted = Request(launcher, root, directory, files, words, environment, ignored, blocked)
    inheritance.join(wanted, peer)
    (fd,) = inheritance.take(wanted, [channel.detach()])
    try:
        life(fd)
    except BaseException:  # noqa: BLE001 - it ends here in any case
        traceback.print_exc()
        return 1
    processes.end_nicely()
    pages.keep()
    return 0
