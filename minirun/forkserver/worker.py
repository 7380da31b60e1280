"""A worker: becomes what the launcher is, then runs its command line. It was forked from the server, and ends here.

Nothing that a launcher sends is read before the fork, so the server never holds a command's environment or files.
"""

import fcntl
import os
import select
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from typing import NoReturn

from minirun.forkserver import request as messages
from minirun.forkserver.ahead import Ahead, Helper
from minirun.forkserver.inheritance import Inheritance
from minirun.forkserver.request import Request, RequestError, send_reply
from minirun.kernel import processes
from minirun.kernel.memory import UsedPages
from minirun.kernel.process_attributes import DiffersError, LowLimitError, open_v2_cgroup

Main = Callable[[], None]  # runs the command line of sys.argv, and may raise SystemExit

_F_SETOWN, _F_SETSIG = 8, 10


class Worker:
    """A process that waits for one launcher."""

    def __init__(self, main: Main, pages: UsedPages, reports: socket.socket) -> None:
        """pages: where the next worker finds which memory this one has used
        reports: where the server is told of what happens
        """
        self._main = main
        self._pages = pages
        self._reports = reports
        self._inheritance = Inheritance()
        self._ahead: Ahead | None = None
        self._life = -1  # of the launcher: a pipe that it holds the other end of

    def fork_ahead(self, helper: Helper, pages: UsedPages) -> None:
        """Have one more process for the command. pages: where the next one finds which memory this one has used"""
        self._ahead = Ahead(helper, pages)

    def serve(self, channel: socket.socket, start: bytes, fds: list[int], peer: int) -> NoReturn:
        """Run the command line that comes by `channel`, from process `peer`. Never returns."""
        try:
            wanted = messages.receive(channel, start, fds)
            channel = self._become(channel, wanted, peer)
        except (RequestError, DiffersError, OSError) as error:
            send_reply(channel, messages.PLAIN, isinstance(error, LowLimitError), str(error))
            os._exit(0)
        channel.settimeout(None)
        if not _may_go(channel):
            os._exit(0)
        _end_with(self._life)
        code = run_to_end(self._main)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the launcher may end now
        is_free = self._inheritance.give_back(channel.fileno())
        if is_free:
            processes.end_nicely()
        send_reply(channel, messages.DONE if is_free else messages.CODE, code)
        self._pages.keep()
        os._exit(code)

    def _become(self, channel: socket.socket, wanted: Request, peer: int) -> socket.socket:
        """Be what the launcher is. Returns the channel, whose number has changed."""
        group = open_v2_cgroup(peer)
        joins = self._inheritance.join(wanted, peer)
        if joins & processes.NEW_PID:
            self._move()
        self._reports.close()
        os.setpgid(0, 0)  # in the server's process group, which is an orphaned one, SIGTSTP would not stop it
        life, given = os.pipe()
        own = [channel.detach(), life, given]
        if group is not None:
            own.append(group)
        if self._ahead:
            own += [self._ahead.channel.detach(), wanted.launcher]
        own = self._inheritance.take(wanted, own)
        if self._ahead:
            self._ahead.offer(wanted, peer, *own[-2:])
        channel, self._life = socket.socket(fileno=own[0]), own[1]
        for_launcher = [os.pidfd_open(os.getpid()), own[2], *([] if group is None else [own[3]])]
        send_reply(channel, messages.READY, fds=for_launcher)
        for fd in for_launcher:
            os.close(fd)
        return channel

    def _move(self) -> None:
        """Go on in a new process, in the pid namespace that was joined; the server's child, which knows of it first.

        The process that was forked ahead cannot follow, and ends.
        """
        is_told, tell = os.pipe()
        if pid := processes.clone_sibling(0):
            self._reports.send(messages.MOVED % (os.getpid(), pid))
            os._exit(0)
        os.close(tell)
        os.read(is_told, 1)
        os.close(is_told)
        if self._ahead:
            self._ahead.channel.close()
            self._ahead = None


def _may_go(channel: socket.socket) -> bool:
    """Wait for the launcher's word. It has started Python itself when it hangs up, or resets what it has not read."""
    try:
        return channel.recv(1) == messages.GO
    except OSError:
        return False


def _end_with(life: int) -> None:
    """From now on the end of the launcher is that of this pipe, and as that of a terminal: the kernel sends SIGHUP.

    It could not be that of the connection: the kernel first wakes who waits for data, and then sends the signal for it.
    So it would come for the launcher's last word, although the signal was asked for only after that was read.
    """
    fcntl.fcntl(life, _F_SETOWN, os.getpid())
    fcntl.fcntl(life, _F_SETSIG, signal.SIGHUP)
    fcntl.fcntl(life, fcntl.F_SETFL, os.O_ASYNC)
    poll = select.poll()
    poll.register(life, select.POLLIN)
    if poll.poll(0):  # it has ended already
        os._exit(128 + signal.SIGHUP)


def run_to_end(main: Main) -> int:
    """Run it as Python runs a script, up to the flushed streams. Returns the exit code."""
    code = 0
    try:
        main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except KeyboardInterrupt:
        traceback.print_exc()
        code = 130
    except BaseException:  # noqa: BLE001 - it ends here in any case
        traceback.print_exc()
        code = 1
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):
            code = code or 120
    return code & 0xFF
