"""A shim in waiting: forked from the command, it waits for its plan.

The command forks it before it opens the state database: SQLite connections must not be carried across a fork.
"""

import gc
import os
import socket
import traceback

from minirun.engine.protocol import CHUNK, MOST_FDS, Kind, Parser, Spool, frame
from minirun.errors import FAILED, describe
from minirun.init.plan import Plan, unpacked
from minirun.kernel import processes, seam
from minirun.kernel.sockets import receive_with_fds
from minirun.shim.clients import Client
from minirun.shim.main import Monitor


def spawn() -> tuple[int, int]:
    """Fork a shim in waiting. Returns (pid, descriptor of the channel to it); closing that unused ends the shim."""
    ours, theirs = socket.socketpair()
    pid = processes.fork(lambda: _live(theirs.detach()), lambda _: traceback.print_exc())
    theirs.close()
    return pid, ours.detach()


def _live(fd: int) -> int:
    """The child's whole life. The command may be gone when it fails: the traceback goes to monitor.log, if open."""
    os.setsid()
    processes.close_from(3, (fd,))
    serve(fd)
    return 0


def serve(fd: int) -> None:
    """The life of a monitor: wait for a plan, carry it out. End of file first: the command needed none."""
    seam.be("shim")
    channel = socket.socket(fileno=fd)
    parser = Parser()
    held: list[int] = []
    stub = processes.sealed_stub()  # made while the command is still reading its own words
    while True:
        data, fds = receive_with_fds(channel, CHUNK, MOST_FDS)
        held += fds
        if not data:
            return None
        for kind, body in parser.feed(data):
            if kind is Kind.SPARE:
                spare = held.pop()
                if processes.fork_away():
                    os.close(spare)
                    continue
                os.close(fd)
                channel.detach()
                os.write(spare, os.getpid().to_bytes(4, "big"))
                return serve(spare)
            if kind is Kind.PLAN:
                return _carry_out(unpacked(Plan, body), channel, parser, held, stub)


def _carry_out(plan: Plan, channel: socket.socket, parser: Parser, held: list[int], stub: int) -> None:
    _leave_terminal(plan)
    first = Client(channel, Spool(f"{plan.root}/containers/{plan.container}"), parser)
    try:
        monitor = Monitor.fresh(plan, first, held, stub)
    except BaseException as error:
        channel.setblocking(True)
        channel.sendall(frame(Kind.FAILED, bytes([FAILED]) + describe(error).encode()))
        raise
    monitor.clients.hear_pending(first)
    gc.enable()  # off since the fork; what is left alive now is all there will be for long
    gc.freeze()
    monitor.live()


def _leave_terminal(plan: Plan) -> None:
    """The caller's terminal and pipes are not ours to keep open: `-d | cat` must end, ssh must be able to leave."""
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    for fd in (0, 1):
        os.dup2(null, fd)
    path = f"{plan.root}/containers/{plan.container}/monitor.log"
    os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600), 2)
