"""The helper that makes a container's first process, and goes on as it: forked before the container's plan is there.

    shim                  the helper                          the first process
    forks           -->   waits
    reads its plan
    sends it        -->   goes on as the first process,  -->
    reads its pid   <--   from its own memory, and waits <--  its pid; then as in first_process.py
    reaps it        <--   ends                           <--  execve

So nothing of Python is copied, or taken apart again, while somebody waits (processes.clone_container).
With a user namespace of its own it is made otherwise (mapped.py).
"""

import os
import socket
from contextlib import suppress
from pathlib import Path

from minirun.errors import FAILED, MinirunError
from minirun.init import program
from minirun.init.first_process import first_process, prepare
from minirun.init.handover import hand_over, receive_files, receive_plan
from minirun.init.plan import Plan, pack, unpack
from minirun.init.program import ChildFiles
from minirun.kernel import namespaces, processes

_LARGEST = 1 << 16  # bytes of an answer
_NO_PID = bytes(4)  # an int
HOST = (0, 0)  # in place of pid and start time: the host's namespaces


class StartHelper:
    """The helper, as the shim sees it. For one start."""

    def __init__(self) -> None:
        """Fork it: the child of the caller, which must be single-threaded."""
        self._channel, theirs = socket.socketpair()
        self._pid = processes.fork(lambda: _wait(theirs), lambda error: _report(theirs, error))
        theirs.close()

    def dismiss(self) -> None:
        """Let it end, unused."""
        self._channel.close()
        os.waitpid(self._pid, 0)

    def leave(self) -> None:
        """Forget it, in a process that was forked from its parent."""
        self._channel.close()

    def make(self, plan: Plan, files: ChildFiles, pid_of: int, ipc_of: int) -> tuple[int, int, int]:
        """Have it make the first process, a child of the caller, in the namespaces of these pidfds (-1: its own).

        Returns the process's pid and pidfd, and the helper's pidfd, for the caller to reap. MinirunError: it failed.
        """
        helper = os.pidfd_open(self._pid)
        needed = [fd for fd in (pid_of,) if fd >= 0]
        later = [2, *files.descriptors, *(fd for fd in (ipc_of,) if fd >= 0)]
        answer = b""
        with self._channel as channel:
            with suppress(ConnectionError):  # it has failed, and said why, before it was given everything
                hand_over(channel, pack(plan), needed, later)
            if pid := processes.read_pid(channel.fileno()):
                return pid, os.pidfd_open(pid), helper
            with suppress(ConnectionError):
                answer = channel.recv(_LARGEST)
        os.waitpid(self._pid, 0)
        os.close(helper)
        failure = program.parse_failure(answer)
        text = failure.text if failure else "the process that was to make the container's first one was killed"
        raise MinirunError(text, code=FAILED)


def _report(channel: socket.socket, error: BaseException) -> None:
    channel.sendall(_NO_PID + program.failure_message(error, FAILED))


def _wait(channel: socket.socket) -> int:
    """In the helper. It has none of the caller's files while it waits."""
    processes.close_from(3, (channel.fileno(),))
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    for number in range(3):
        os.dup2(null, number)
    os.close(null)
    received = receive_plan(channel)
    if received is None:
        return 0
    data, needed = received
    return _go_on(channel, unpack(Plan, data), *needed)


def _go_on(channel: socket.socket, plan: Plan, pid_of: int = -1) -> int:
    """As the first process. Never returns in this one."""
    parent = os.getppid() if plan.pid_of == HOST else 0  # as getppid shows it in the first process
    flags = 0 if plan.pid_of else processes.NEW_PID
    flags |= 0 if plan.ipc_of else processes.NEW_IPC
    flags |= 0 if plan.uts_host else processes.NEW_UTS
    if pid_of >= 0:
        namespaces.join_pid_namespace(plan.pid_of[0], pid_of)
    processes.clone_container(Path(plan.cgroup) if plan.cgroup else None, flags, channel.fileno())
    log, line, error, stub, *streams = receive_files(channel)
    ipc_of = streams.pop() if plan.ipc_of not in ((), HOST) else -1
    os.dup2(log, 2)
    files = ChildFiles(socket.socket(fileno=line), tuple(streams), error, stub)
    first_process(plan, files, parent, lambda: prepare(plan, ipc_of), (ipc_of,))
    return FAILED
