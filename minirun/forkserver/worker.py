"""A worker: becomes what the launcher is, then runs its command line. It was forked from the server, and ends here.

Nothing that a launcher sends is read before the fork, so the server never holds a command's environment or files.
"""

import fcntl
import locale
import os
import select
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from minirun.forkserver import request as messages
from minirun.forkserver.request import Request, RequestError, send_reply
from minirun.kernel import namespaces, processes
from minirun.kernel.memory import UsedPages
from minirun.kernel.process_attributes import (
    DiffersError,
    LowLimitError,
    ProcessName,
    copy_attributes,
    limits,
    open_differing_group,
    own_attributes,
    raise_limits,
    set_limits,
)

Main = Callable[[], None]  # runs the command line of sys.argv, and may raise SystemExit

_F_SETOWN, _F_SETSIG = 8, 10
_COERCED = ("C.UTF-8", "C.utf8", "UTF-8")  # locales
_LOWEST = 100  # number of the channel: clear of those that a command line usually has


class Worker:
    """A process that waits for one launcher. What can be known before it comes is looked up when this is made."""

    def __init__(self, main: Main, pages: UsedPages) -> None:
        """pages: where the next worker finds which memory this one has used"""
        self._main = main
        self._pages = pages
        self._attributes = own_attributes()
        self._name = ProcessName()

    def serve(self, channel: socket.socket, start: bytes, fds: list[int], peer: int, moved: socket.socket) -> NoReturn:
        """Run the command line that comes by `channel`, from process `peer`. Never returns.

        moved: where the server is told which process goes on in this one's place
        """
        try:
            wanted = messages.receive(channel, start, fds)
            self._become(channel, wanted, peer, moved)
        except (RequestError, DiffersError, OSError) as error:
            send_reply(channel, messages.PLAIN, isinstance(error, LowLimitError), str(error))
            os._exit(0)
        channel.settimeout(None)
        if channel.recv(1) != messages.GO:
            os._exit(0)
        _end_with(channel)
        code = run_to_end(self._main)
        send_reply(channel, messages.CODE, code)
        self._pages.keep()
        os._exit(code)

    def _become(self, channel: socket.socket, wanted: Request, peer: int, moved: socket.socket) -> None:
        if _pid_of(wanted.launcher) != peer:
            raise RequestError("it speaks for another process")
        self._name.take([os.fsencode(word) for word in (sys.executable, "-IS", sys.argv[0])] + wanted.words[1:])
        copy_attributes(peer, self._attributes)
        raise_limits(their_limits := limits(peer))
        joins, group = namespaces.differing(peer), open_differing_group(peer)
        namespaces.become_neighbour(peer, wanted.launcher, joins, wanted.root, wanted.directory)
        if joins & processes.NEW_PID or group >= 0:
            _move(moved, group)
        moved.close()
        os.setpgid(0, 0)  # in the server's process group, which is an orphaned one, SIGTSTP would not stop it
        _take_files(channel, wanted)
        set_limits(their_limits)
        _take_environment(wanted)
        _take_signals(wanted)
        send_reply(channel, messages.READY, fd=(own := os.pidfd_open(os.getpid())))
        os.close(own)


def _pid_of(pidfd: int) -> int:
    """The pid of the process that a pidfd is of, here (pidfd_open(2)); -1 when it has ended, or is not below here."""
    for line in Path(f"/proc/self/fdinfo/{pidfd}").read_text().splitlines():
        if line.startswith("Pid:"):
            return int(line.split()[1])
    raise RequestError("no process was handed over")


def _move(moved: socket.socket, group: int) -> None:
    """Go on in a new process, in the pid namespace that was joined and the v2 cgroup `group`; a child of the server."""
    if pid := processes.clone_sibling(0, group):
        moved.send(messages.MOVED % (os.getpid(), pid))
        os._exit(0)


def _take_files(channel: socket.socket, wanted: Request) -> None:
    """Have exactly the launcher's open files, under their numbers, and the channel."""
    above = max([_LOWEST, *(number + 1 for number in wanted.files)])
    own = fcntl.fcntl(channel.fileno(), fcntl.F_DUPFD_CLOEXEC, above)
    channel.detach()
    parked = {number: fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, above) for number, fd in wanted.files.items()}
    processes.close_from(0, (own, *parked.values()))
    for number, fd in parked.items():
        os.dup2(fd, number)
        os.close(fd)
    channel.__init__(fileno=own)  # type: ignore[misc]


def _take_environment(wanted: Request) -> None:
    """The words, the environment, and what Python derives from them when it starts."""
    os.environ.clear()
    for entry in wanted.environment:
        name, separator, value = entry.partition(b"=")
        if separator and name and name not in os.environb:
            os.environb[name] = value
    time.tzset()
    sys.argv = [sys.argv[0], *map(os.fsdecode, wanted.words[1:])]
    output = "surrogateescape" if _take_locale() in ("C", *_COERCED) else "strict"
    _set_stream("stdin", 0, "r", output)
    _set_stream("stdout", 1, "w", output)
    _set_stream("stderr", 2, "w", "backslashreplace")


def _take_locale() -> str:
    """Set the locale as Python does when it starts, and return its name.

    In place of C, which also stands for one that is not installed, Python takes C.UTF-8, and tells child processes in
    the environment (PEP 538). Where a locale has no encoding, it takes bytes that are not text (PEP 540).
    """
    try:
        name = locale.setlocale(locale.LC_CTYPE, "")
    except locale.Error:
        name = "C"
    if name == "C" and not os.environ.get("LC_ALL"):
        os.environ["LC_CTYPE"] = _COERCED[0]
    return name


def _set_stream(name: str, fd: int, mode: str, errors: str) -> None:
    """Make a standard stream as Python does; None for one that is closed."""
    stream: Any = None
    try:
        stream = open(fd, mode, encoding="utf-8", errors=errors, closefd=False)  # noqa: SIM115 - for the whole life
        stream.reconfigure(line_buffering=fd == 2 or stream.isatty())
    except OSError:
        pass
    setattr(sys, name, stream)
    setattr(sys, f"__{name}__", stream)


def _take_signals(wanted: Request) -> None:
    """What the launcher ignores is ignored, as it is in Python after execve(2); and the launcher's mask.

    All others are as Python has them at its start: so the launcher left them for the server, which has reset its own.
    """
    for number in _numbers(wanted.ignored):
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, _numbers(wanted.blocked))


def _numbers(mask: int) -> set[int]:
    return {number for number in range(1, signal.NSIG) if mask >> (number - 1) & 1}


def _end_with(channel: socket.socket) -> None:
    """From now on the end of the launcher is a hangup here, as the end of a terminal is: the kernel sends SIGHUP."""
    fcntl.fcntl(channel, _F_SETOWN, os.getpid())
    fcntl.fcntl(channel, _F_SETSIG, signal.SIGHUP)
    fcntl.fcntl(channel, fcntl.F_SETFL, os.O_ASYNC)
    poll = select.poll()
    poll.register(channel, select.POLLIN)
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
