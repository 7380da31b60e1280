"""Finding the program as a shell would, and the last steps of a process before execve.

Shared by a container's first process and by exec.
"""

import errno
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from minirun.errors import CANNOT_INVOKE, FAILED, NOT_FOUND, describe
from minirun.init.user import UserError, resolve
from minirun.kernel import credentials, processes, seccomp
from minirun.kernel.own_ids import OWN_IDS, SINGLE

_PTS_MAJOR = 136  # Documentation/admin-guide/devices.txt: Unix98 PTY slaves
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
READY, FAILURE = b"R", b"E"  # first byte of a message on the line


class StartError(Exception):
    """The program cannot be started; `code` is Docker's exit code for that."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


@dataclass(frozen=True)
class ChildFiles:
    """What a new process shares with the one that waits for it: its ends, as open files."""

    line: socket.socket  # READY and FAILURE messages go out, permission to go on comes in
    stdio: tuple[int, ...]  # standard input, output and error; () when it is to open a terminal
    error: int  # closed by a successful execve; else it carries the errno as four bytes
    stub: int  # the sealed file to execute (kernel.execution.sealed_stub)

    @property
    def descriptors(self) -> tuple[int, ...]:
        """All of them, to be kept open."""
        return (self.line.fileno(), self.error, self.stub, *self.stdio)

    def close(self) -> None:
        """Close all of them, in the process that waits."""
        self.line.close()
        for fd in (self.error, self.stub, *self.stdio):
            os.close(fd)


def enter_workdir(path: str, make: bool) -> None:
    """Change to the working directory; with `make`, create it if it is missing.

    StartError when it is missing, or turns out to be outside the container's root (CVE-2024-21626).
    """
    try:
        if make:
            os.makedirs(path, exist_ok=True)
        os.chdir(path)
        reached = os.getcwd()
    except OSError as error:
        text = f'chdir to cwd ("{path}"): {(error.strerror or "").lower()}'
        raise StartError(CANNOT_INVOKE, text) from None
    if not reached.startswith("/"):
        raise StartError(CANNOT_INVOKE, f"the working directory {path!r} is outside the container's root")


def set_limits(oom_score_adj: int, ulimits: tuple[tuple[str, int, int], ...]) -> None:
    """Set the OOM score and resource limits (name, soft, hard). Needs the host's /proc: call before pivot_root."""
    processes.oom_score_ensure(oom_score_adj)
    for name, soft, hard in ulimits:
        credentials.rlimit_set(name, soft, hard)


def drop_privileges(
    wanted: str,
    more_groups: tuple[str, ...],
    capabilities: tuple[str, ...],
    env: dict[str, str],
    stdio: tuple[int, ...],
    system_calls: bytes,
    no_new_privileges: bool,
) -> None:
    """Drop, permanently, what the program must not do: system calls, capabilities, then ids.

    `wanted` is --user, `more_groups` --group-add, `system_calls` a seccomp filter as BPF (b"" for none). Sets HOME in
    `env` by the user. The filter is loaded first, while the process still may; with `no_new_privileges` anyone may.
    UserError when there is no such user, StartError when its ids are not in the container's user namespace.
    """
    if no_new_privileges:
        credentials.no_new_privileges()
    user = resolve(wanted, more_groups)
    # The primary group is supplementary too: else a file's rule against that group would not apply (CVE-2022-36109).
    groups = list(dict.fromkeys((user.gid, *user.groups)))
    env.setdefault("HOME", user.home)
    with _unmapped_ids_explained(user.uid, groups):
        for fd in stdio if user.uid else ():
            chown_stream(fd, user.uid)
    if system_calls:
        seccomp.seccomp_load(system_calls)
    credentials.drop_capabilities(capabilities)
    with _unmapped_ids_explained(user.uid, groups):
        credentials.become(user.uid, user.gid, groups)


@contextmanager
def _unmapped_ids_explained(uid: int, groups: list[int]) -> Iterator[None]:
    """EINVAL for an id means that the user namespace maps no id of the host to it (user_namespaces(7))."""
    try:
        yield
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        shown = " and ".join(map(str, groups))
        text = f"user {uid} with group {shown} is not among the ids of the container's user namespace"
        if OWN_IDS.is_single:
            text = f"user {uid} with group {shown} does not exist: {SINGLE}"
        raise StartError(FAILED, text) from None


def chown_stream(fd: int, uid: int, gid: int = -1) -> None:
    """Make the user the owner of a pipe or terminal, so that /dev/stdout opens for it. Not of /dev/null, the host's."""
    status = os.fstat(fd)
    is_terminal = stat.S_ISCHR(status.st_mode) and os.major(status.st_rdev) == _PTS_MAJOR
    if stat.S_ISFIFO(status.st_mode) or is_terminal:
        os.fchown(fd, uid, gid)


def find_program(name: str, env: dict[str, str]) -> str:
    """Find the file to execute, along PATH. StartError with Docker's wording and exit code when there is none."""
    if "/" in name:
        _check_executable(name, name)
        return name
    for directory in env.get("PATH", DEFAULT_PATH).split(":"):
        path = os.path.join(directory or ".", name)
        try:
            _check_executable(path, name)
        except StartError:
            continue
        return path if path.startswith("/") else os.path.abspath(path)
    raise StartError(NOT_FOUND, f'exec: "{name}": executable file not found in $PATH')


def _check_executable(path: str, name: str) -> None:
    try:
        mode = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        raise StartError(NOT_FOUND, f'exec: "{name}": stat {path}: no such file or directory') from None
    except OSError as error:
        raise StartError(CANNOT_INVOKE, f'exec: "{name}": {error.strerror}') from None
    if stat.S_ISDIR(mode):
        raise StartError(CANNOT_INVOKE, f'exec: "{name}": is a directory')
    if not os.access(path, os.X_OK):
        raise StartError(CANNOT_INVOKE, f'exec: "{name}": permission denied')


def environment(tty: bool, *overrides: tuple[tuple[str, str], ...]) -> dict[str, str]:
    """The program's environment: Docker's defaults, then each of `overrides` over the ones before it."""
    env = {"PATH": DEFAULT_PATH, "HOSTNAME": socket.gethostname(), **({"TERM": "xterm"} if tty else {})}
    for variables in overrides:
        env |= dict(variables)
    return env


def execve_failed(number: int, name: str) -> StartError:
    """The StartError for the errno of execve that the stub reported."""
    if number == errno.ENOENT:  # the file exists, find_program saw it; its interpreter or loader does not
        return StartError(
            NOT_FOUND, f'exec: "{name}": no such file or directory (its interpreter or loader is missing)'
        )
    return StartError(CANNOT_INVOKE, f'exec: "{name}": {os.strerror(number).lower()}')


def prepare_exec() -> None:
    """Right before execve: reset umask and signals, and let no descriptor above 2 through."""
    os.umask(0o022)
    processes.clear_signals()
    processes.cloexec_from(3)


def failure_message(error: BaseException, no_user: int) -> bytes:
    """Encode a failure before execve for whoever waits: FAILURE, exit code, text.

    `no_user` is Docker's exit code for an unknown user: 125 for run, 126 for exec.
    """
    if isinstance(error, StartError):
        code, text = error.code, error.text
    elif isinstance(error, UserError):
        code, text = no_user, str(error)
    else:
        code, text = FAILED, describe(error)
    return FAILURE + bytes([code]) + text.encode("utf-8", "replace")


def parse_failure(message: bytes) -> StartError | None:
    """Decode what `failure_message` made; None for any other message, or none."""
    if message[:1] != FAILURE:
        return None
    return StartError(message[1], message[2:].decode("utf-8", "replace"))
