"""Finding the program as a shell would, and the last steps of a process before it becomes it."""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager

from minirun.errors import CANNOT_INVOKE, FAILED, NOT_FOUND, describe
from minirun.init.user import UserError, resolve
from minirun.kernel import credentials, processes, seccomp

_PTS_MAJOR = 136
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class StartError(Exception):
    """The program cannot be started; `code` is Docker's exit code for that."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


def enter_workdir(path: str, make: bool) -> None:
    """Change to it, and be sure to be inside the root (CVE-2024-21626). `make`: it may be missing."""
    try:
        if make:
            os.makedirs(path, exist_ok=True)
        os.chdir(path)
        inside = os.getcwd()
    except OSError as error:
        text = f'chdir to cwd ("{path}"): {(error.strerror or "").lower()}'
        raise StartError(CANNOT_INVOKE, text) from None
    if not inside.startswith("/"):
        raise StartError(CANNOT_INVOKE, f"the working directory {path!r} is outside the container's root")


def set_bounds(oom_score_adj: int, ulimits: tuple[tuple[str, int, int], ...]) -> None:
    """What one process may use. Outside the root, where /proc is the host's."""
    if oom_score_adj:
        processes.oom_score_set(oom_score_adj)
    if ulimits:
        from minirun.kernel.credentials import rlimit_set

        for name, soft, hard in ulimits:
            rlimit_set(name, soft, hard)


def take_user(
    wanted: str,
    more_groups: tuple[str, ...],
    capabilities: tuple[str, ...],
    env: dict[str, str],
    stdio: tuple[int, ...],
    system_calls: bytes,
    no_new_privileges: bool,
) -> None:
    """Give up what the program shall not have: system calls, capabilities, then ids. HOME follows from the user.

    The filter comes first, while there is the right to set one; with `no_new_privileges` nobody needs that right.
    """
    if no_new_privileges:
        credentials.no_new_privileges()
    user = resolve(wanted, more_groups)
    # The own group is among the supplementary ones, too: else a file's rule against it would not bind (CVE-2022-36109).
    groups = list(dict.fromkeys((user.gid, *user.groups)))
    env.setdefault("HOME", user.home)
    with _all_mapped(user.uid, groups):
        for fd in stdio if user.uid else ():
            give(fd, user.uid)
    if system_calls:
        seccomp.seccomp_load(system_calls)
    credentials.drop_capabilities(capabilities)
    with _all_mapped(user.uid, groups):
        credentials.become(user.uid, user.gid, groups)


@contextmanager
def _all_mapped(uid: int, groups: list[int]) -> Iterator[None]:
    """EINVAL of an id means that the user namespace has none outside for it (user_namespaces(7))."""
    try:
        yield
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        shown = " and ".join(map(str, groups))
        text = f"user {uid} with group {shown} is not among the ids of the container's user namespace"
        raise StartError(FAILED, text) from None


def give(fd: int, uid: int, gid: int = -1) -> None:
    """/dev/stdout must open for an unprivileged user, too. Pipes and terminals only: /dev/null is the host's."""
    found = os.fstat(fd)
    is_terminal = stat.S_ISCHR(found.st_mode) and os.major(found.st_rdev) == _PTS_MAJOR
    if stat.S_ISFIFO(found.st_mode) or is_terminal:
        os.fchown(fd, uid, gid)


def find_program(name: str, env: dict[str, str]) -> str:
    """The file to execute. Raises StartError with the words, and the exit code, that Docker gives."""
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


def execve_failed(number: int, name: str) -> StartError:
    """What the stub reported: errno of the last execve."""
    text = os.strerror(number).lower()
    code = NOT_FOUND if number == 2 else CANNOT_INVOKE
    if number == 2:  # the file is there (find_program saw it): its interpreter or loader is not
        return StartError(code, f'exec: "{name}": no such file or directory (its interpreter or loader is missing)')
    return StartError(code, f'exec: "{name}": {text}')


def last_words() -> None:
    """Right before the exec: nothing of ours is passed on."""
    os.umask(0o022)
    processes.clear_signals()
    processes.cloexec_from(3)


def report(error: BaseException, no_user: int) -> bytes:
    """A failure before the exec, as one message to whoever waits: exit code, then text. `no_user` is Docker's code for
    a user that is not there: 125 for run, 126 for exec."""
    if isinstance(error, StartError):
        return bytes([error.code]) + error.text.encode("utf-8", "replace")
    if isinstance(error, UserError):
        return bytes([no_user]) + str(error).encode("utf-8", "replace")
    return bytes([FAILED]) + describe(error).encode("utf-8", "replace")
