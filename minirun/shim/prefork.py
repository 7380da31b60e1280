"""How a shim's process begins: forked from the command early, it waits for a plan; or it wakes up after being idle."""

import gc
import os
import socket
import sys
import traceback

from minirun.engine.protocol import CHUNK, MOST_FDS, Kind, Parser, Spool, frame
from minirun.errors import FAILED, describe
from minirun.init import prepared
from minirun.init.helper import StartHelper
from minirun.init.plan import Plan, unpack
from minirun.kernel import execution, processes, seam
from minirun.kernel.sockets import receive_with_fds
from minirun.shim.clients import Client
from minirun.shim.idle import restore
from minirun.shim.main import Shim


def spawn() -> tuple[int, int]:
    """Fork a shim that waits for its plan. Returns its pid, and the descriptor of the channel to it.

    Call it before the state is opened: SQLite must not be forked. The shim inherits only the channel, and ends when the
    channel is closed unused.
    """
    if ahead := prepared.claim(prepared.SHIM):
        return ahead
    ours, theirs = socket.socketpair()
    pid = processes.fork(lambda: _begin(theirs.detach()), _report)
    theirs.close()
    return pid, ours.detach()


def _begin(channel: int) -> int:
    os.setsid()
    processes.close_from(3, (channel,))
    serve(channel)
    return 0


def _report(error: BaseException) -> None:
    """The command may be gone: standard error is the shim's log, once it has a plan."""
    traceback.print_exception(error)


def serve(fd: int) -> None:
    """The life of a shim: wait for a plan on the channel `fd`, and carry it out. End of file first: none is needed."""
    seam.be("shim")
    channel = socket.socket(fileno=fd)
    parser = Parser()
    received: list[int] = []
    waited: list[tuple[int, int]] = []  # clients that waited for the start: socket, flags
    stub, helper = execution.sealed_stub(), StartHelper()  # made while the command still parses its arguments
    while True:
        data, fds = receive_with_fds(channel, CHUNK, MOST_FDS)
        received += fds
        if not data:
            helper.dismiss()
            return None
        for kind, body in parser.feed(data):
            if kind is Kind.SPARE:
                spare = received.pop()
                if processes.fork_away():
                    os.close(spare)
                    continue
                helper.leave()
                os.close(fd)
                channel.detach()
                os.write(spare, os.getpid().to_bytes(4, "big"))
                return serve(spare)
            if kind is Kind.CLIENT:
                waited.append((received.pop(), body[0]))
            if kind is Kind.PLAN:
                plan = unpack(Plan, body)
                return _carry_out(plan, Client(channel, _spool(plan), parser), received, waited, stub, helper)


def _spool(plan: Plan) -> Spool:
    return Spool(f"{plan.root}/containers/{plan.container}")


def _carry_out(
    plan: Plan, first: Client, received: list[int], waited: list[tuple[int, int]], stub: int, helper: StartHelper
) -> None:
    _leave_terminal(plan)
    try:
        shim = Shim.fresh(plan, first, received, stub, helper)
    except BaseException as error:
        first.channel.setblocking(True)
        first.channel.sendall(frame(Kind.FAILED, bytes([FAILED]) + describe(error).encode()))
        raise
    for fd, flags in waited:
        shim.clients.add(fd, flags)
    shim.clients.hear_pending(first)
    gc.enable()  # off in the command; what is alive now lives as long as the shim
    gc.freeze()
    shim.live()


def _leave_terminal(plan: Plan) -> None:
    """Close the caller's terminal and pipes, so that `-d | cat` ends and ssh can disconnect. Errors go to a log."""
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    for fd in (0, 1):
        os.dup2(null, fd)
    path = f"{plan.root}/containers/{plan.container}/shim.log"
    os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600), 2)


def wake(memory: int) -> None:
    """Go on as the shim, in the Python that the sleeper has executed. `memory` is the memfd. Never returns."""
    gc.disable()
    _go_on(memory, execution.left_sleeper())


def end(memory: int, code: int) -> None:
    """See to the end of a container whose shim was idle, in its place; its first process ended with `code`."""
    execution.left_sleeper()
    _go_on(memory, code)


def _go_on(memory: int, code: int | None) -> None:
    failed = 1
    try:
        seam.be("shim")
        shim = Shim.awake(restore(memory), code)
        gc.enable()
        gc.freeze()
        shim.live()
        failed = 0
    except BaseException:  # noqa: BLE001 - a traceback for the shim's log; there is nobody else to tell
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(failed)
