"""The processes of a lab: namespaces of its own for everything, owned by an ordinary user (user_namespaces(7)).

    minirun lab                      first process                          COMMAND
    clones            -->            waits
    writes the id maps
    starts pasta
    sends the facts   -->            mounts, loopback; forks        -->     runs
    forwards signals  -->            forwards signals               -->
    waits             <--            reaps orphans until            <--     it ends

The first process gets SIGKILL when `minirun lab` ends, however it does, and with it the kernel kills all others and
removes every namespace: links, rules and mounts in them go, too.
"""

import marshal
import os
import signal
import socket
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

import prctl

from minirun.errors import CANNOT_INVOKE, FAILED, NOT_FOUND, describe
from minirun.kernel.seam import shell
from minirun.kernel.syscalls import check, ffi, lib

_NAMESPACES = (
    lib.CLONE_NEWUSER | lib.CLONE_NEWNS | lib.CLONE_NEWNET | lib.CLONE_NEWPID | lib.CLONE_NEWUTS | lib.CLONE_NEWIPC
)
_SENT = 65536  # bytes of a message
_FORWARDED: frozenset[signal.Signals] = frozenset(
    {signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM}
)
_SI_KERNEL = 0x80  # si_code of what a terminal sends, which all processes of its foreground group get


class FirstProcess:
    """The first process of a lab, which waits to be told to go on.

    `settle` prepares the lab from inside, with the facts that `go` sends; then `argv` is executed.
    Raises OSError when the kernel makes no such namespaces. The caller must be single-threaded (see csrc/sys.c).
    """

    def __init__(self, settle: Callable[[dict[str, Any]], None], argv: list[str]) -> None:
        self._line, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._has_terminal = os.isatty(0) and os.tcgetpgrp(0) == os.getpgrp()
        self._mask = signal.pthread_sigmask(signal.SIG_BLOCK, {*_FORWARDED, signal.SIGCHLD})
        self.pid, self._pidfd = lab_clone()
        if self.pid == 0:
            self._line.close()
            _live(theirs, settle, argv, self._mask)
        theirs.close()

    def go(self, facts: dict[str, Any]) -> str:
        """Let it settle. Returns "", or why it could not."""
        self._line.send(marshal.dumps(facts))
        answer = self._line.recv(_SENT)
        return answer.decode("utf-8", "replace").strip("\0") if answer else "its first process was killed"

    def start(self) -> None:
        """Let it start the command."""
        self._line.send(b"\0")

    def wait(self) -> int:
        """Wait for the command's end, and return its exit code, 128 + N for signal N. Signals are forwarded to it."""
        while True:
            info = signal.sigwaitinfo({*_FORWARDED, signal.SIGCHLD})
            if info.si_signo == signal.SIGCHLD:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
                if pid:
                    self._take_terminal()
                    signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)
                    code = os.waitstatus_to_exitcode(status)
                    return code if code >= 0 else 128 - code
            elif info.si_code != _SI_KERNEL:
                with suppress(ProcessLookupError):
                    signal.pidfd_send_signal(self._pidfd, info.si_signo)

    def _take_terminal(self) -> None:
        """A shell in the lab has put itself in the foreground, and cannot give it back: it does not see this group."""
        if self._has_terminal:
            with suppress(OSError):
                signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTTOU})
                os.tcsetpgrp(0, os.getpgrp())

    def kill(self) -> None:
        """End it, and everything in the lab."""
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitpid(self.pid, 0)
        signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)


class Helper:
    """A program that serves the lab from outside, and gets SIGKILL when `minirun lab` ends. See `helper_start`."""

    def __init__(self, pid: int, errors: int) -> None:
        self._pid = pid
        self._errors = errors
        self._is_reaped = False

    def has_ended(self) -> bool:
        """Whether it has ended."""
        self._is_reaped = self._is_reaped or os.waitpid(self._pid, os.WNOHANG)[0] != 0
        return self._is_reaped

    def stop(self) -> str:
        """End it. Returns what it has written to standard error."""
        if not self.has_ended():
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
            self._is_reaped = True
        return os.pread(self._errors, _SENT, 0).decode("utf-8", "replace").strip()


def helper_start(program: str, words: list[str]) -> Helper:
    """Start a program as a child of the caller, in a session of its own, with /dev/null as its input and output."""
    errors = os.memfd_create("errors", os.MFD_CLOEXEC)
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    parent = os.getpid()
    pid = os.fork()
    if pid:
        os.close(null)
        return Helper(pid, errors)
    try:
        os.setsid()
        prctl.set_pdeathsig(signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(FAILED)
        for fd, number in ((null, 0), (null, 1), (errors, 2)):
            os.dup2(fd, number)
        _signals_as_before(())
        os.execv(program, [program, *words])
    finally:
        os._exit(NOT_FOUND)


@shell("unshare --user --mount --net --pid --uts --ipc --fork --kill-child")
def lab_clone() -> tuple[int, int]:
    """Fork into new namespaces of the caller. Returns (pid, pidfd), and (0, -1) in the child."""
    pidfd = ffi.new("int *")
    pid = check(lib.sys_clone3(_NAMESPACES, pidfd, -1))
    return (pid, pidfd[0]) if pid else (0, -1)


@shell(
    "echo deny > /proc/{pid}/setgroups; echo '0 {uid} 1' > /proc/{pid}/uid_map; echo '0 {gid} 1' > /proc/{pid}/gid_map"
)
def single_id_map(pid: int, uid: int, gid: int) -> None:
    """Make the caller's user and group root in the user namespace of a process. No other id exists there.

    The kernel then allows no setgroups(2): a group may be a reason to deny access, and leaving it would give it.
    """
    for name, text in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1\n"), ("gid_map", f"0 {gid} 1\n")):
        Path(f"/proc/{pid}/{name}").write_text(text)


def _live(
    line: socket.socket, settle: Callable[[dict[str, Any]], None], argv: list[str], mask: Iterable[int]
) -> NoReturn:
    code = FAILED
    try:
        message = line.recv(_SENT)
        if message:
            prctl.set_pdeathsig(signal.SIGKILL)
            settle(marshal.loads(message))
            line.send(b"\0")
            if not line.recv(1):  # `minirun lab` has ended, maybe before this process had asked to die with it
                os._exit(FAILED)
            line.close()
            code = _reap_until_end_of(_spawn(argv, mask))
    except BaseException as error:  # noqa: BLE001 - it must not unwind into the code of `minirun lab`
        with suppress(OSError):
            line.send(describe(error).encode())
    finally:
        os._exit(code)


def _spawn(argv: list[str], mask: Iterable[int]) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = FAILED
    try:
        _signals_as_before(mask)
        os.execvp(argv[0], argv)
    except OSError as error:
        os.write(2, f'minirun: exec: "{argv[0]}": {error.strerror}\n'.encode())
        code = CANNOT_INVOKE if _exists(argv[0]) else NOT_FOUND
    finally:
        os._exit(code)


def _exists(program: str) -> bool:
    """Whether there is a file of that name: for want of one, execvp(3) may report a directory that it cannot search."""
    places = [""] if "/" in program else [f"{directory}/" for directory in os.get_exec_path()]
    return any(os.path.exists(place + program) for place in places)


def _signals_as_before(mask: Iterable[int]) -> None:
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _reap_until_end_of(command: int) -> int:
    """Be the init of the pid namespace: orphans have this parent. Returns the command's exit code."""
    while True:
        info = signal.sigwaitinfo({*_FORWARDED, signal.SIGCHLD})
        if info.si_signo != signal.SIGCHLD:
            if info.si_code != _SI_KERNEL:
                os.kill(command, info.si_signo)
            continue
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                pid = 0
            if pid == command:
                code = os.waitstatus_to_exitcode(status)
                return code if code >= 0 else 128 - code
            if not pid:
                break
