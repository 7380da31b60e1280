"""What a process takes over from a launcher: its attributes, namespaces, directories, files, environment and signals.

kernel/process_attributes.py has the table of attributes.
"""

import fcntl
import locale
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from minirun.forkserver.request import Request, RequestError
from minirun.kernel import namespaces, processes
from minirun.kernel.memory import release_files
from minirun.kernel.process_attributes import (
    DiffersError,
    ProcessName,
    copy_attributes,
    leave_v1_cgroups,
    limits,
    own_attributes,
    raise_limits,
    set_limits,
)

_COERCED = ("C.UTF-8", "C.utf8", "UTF-8")  # locales
_LOWEST = 100  # number of the first channel: clear of those that a command line usually has


class Inheritance:
    """What can be known before a launcher comes is looked up when this is made."""

    def __init__(self) -> None:
        self._attributes = own_attributes()
        self._name = ProcessName()
        self._limits: dict[int, tuple[int, int]] = {}
        self._files: frozenset[int] = frozenset()  # the launcher's, by their numbers
        self._is_elsewhere = False  # among other mounts or processes, or below another root

    def join(self, wanted: Request, peer: int) -> int:
        """Take the name and the attributes of the launcher, process `peer`; join its namespaces, take its directories.

        DiffersError, RequestError or OSError: it is not possible. Returns the namespaces that were joined, as a mask of
        CLONE_NEW*; that of pids counts for children.
        """
        if _pid_of(wanted.launcher) != peer:
            raise RequestError("it speaks for another process")
        self._name.take([os.fsencode(word) for word in (sys.executable, "-IS", sys.argv[0])] + wanted.words[1:])
        copy_attributes(peer, self._attributes)
        self._limits = limits(peer)
        raise_limits(self._limits)
        joins = namespaces.differing(peer)
        is_among_others = bool(joins & (processes.NEW_MOUNTS | processes.NEW_PID))
        self._is_elsewhere = is_among_others or os.readlink(f"/proc/self/fd/{wanted.root}") != "/"
        namespaces.become_neighbour(peer, wanted.launcher, joins, wanted.root, wanted.directory)
        return joins

    def take(self, wanted: Request, own: list[int]) -> list[int]:
        """Have the launcher's files, limits, environment and signals. Returns the new numbers of the descriptors `own`,
        the only ones that stay beside its files."""
        kept = _take_files(wanted, own)
        self._files = frozenset(wanted.files)
        set_limits(self._limits)
        _take_environment(wanted)
        _take_signals(wanted)
        return kept

    def give_back(self, channel: int) -> bool:
        """Hold nothing of the launcher's any more, nor files that the command has opened, but the descriptor `channel`.

        This process's end does the same, but takes 2 to 8 ms. Nothing but `os._exit` may follow. False: it is in
        a mount or pid namespace, or below a root, that only its end releases.
        """
        if self._is_elsewhere:
            return False
        try:
            os.chdir("/")
            leave_v1_cgroups(self._attributes)
            release_files((channel,), self._files)
        except (DiffersError, OSError):  # there is no /proc any more, for example
            return False
        return True


def _pid_of(pidfd: int) -> int:
    """The pid of the process that a pidfd is of, here (pidfd_open(2)); -1 when it has ended, or is not below here."""
    for line in Path(f"/proc/self/fdinfo/{pidfd}").read_text().splitlines():
        if line.startswith("Pid:"):
            return int(line.split()[1])
    raise RequestError("no process was handed over")


def _take_files(wanted: Request, own: list[int]) -> list[int]:
    """Have exactly the launcher's open files, under their numbers, and above them `own`: the new numbers of these."""
    above = max([_LOWEST, *(number + 1 for number in wanted.files)])
    kept = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, above) for fd in own]
    parked = {number: fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, above) for number, fd in wanted.files.items()}
    processes.close_from(0, (*kept, *parked.values()))
    for number, fd in parked.items():
        os.dup2(fd, number)
        os.close(fd)
    return kept


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
