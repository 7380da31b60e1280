"""Running a program of the host's to its end: for what only its owner's program may write, or CNI plugins do."""

import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass

from minirun.kernel.processes import wait_gone

DIRECTORIES = ("/usr/sbin", "/sbin", "/usr/bin", "/bin")  # not the caller's PATH: it runs as root
_MOST = 1 << 20  # bytes of what it says that are read


@dataclass(frozen=True)
class Finished:
    """What became of it. `code` is negative when a signal ended it, None when it was ended because it took too long."""

    code: int | None
    out: str
    err: str


def program_path(name: str, directories: tuple[str, ...] = DIRECTORIES) -> str | None:
    """The path of a program, or None when none of the directories has it."""
    return next((found for place in directories if os.access(found := f"{place}/{name}", os.X_OK)), None)


def program_run(
    path: str,
    words: list[str],
    stdin: bytes = b"",
    env: Mapping[str, str] | None = None,
    seconds: float | None = None,
) -> Finished:
    """With nothing of the caller's environment but what `env` says. OSError when it cannot be started.

    Its streams are files in memory: a pipe would have to be emptied while it runs.
    """
    given, said, complained = (os.memfd_create(name, os.MFD_CLOEXEC) for name in ("stdin", "stdout", "stderr"))
    try:
        os.write(given, stdin)
        os.lseek(given, 0, os.SEEK_SET)
        streams = [(os.POSIX_SPAWN_DUP2, fd, number) for number, fd in enumerate((given, said, complained))]
        environment = {"PATH": ":".join(DIRECTORIES), **(env or {})}
        name = os.path.basename(path)
        # In a session of its own: Ctrl-C at the terminal is not for it, and it goes whole when it takes too long.
        pid = os.posix_spawn(path, [name, *words], environment, file_actions=streams, setsid=True)
        code = _wait(pid, seconds)
        return Finished(code, *(os.pread(fd, _MOST, 0).decode("utf-8", "replace") for fd in (said, complained)))
    finally:
        for fd in (given, said, complained):
            os.close(fd)


def _wait(pid: int, seconds: float | None) -> int | None:
    pidfd = os.pidfd_open(pid)
    try:
        in_time = wait_gone(pidfd, seconds)
    finally:
        os.close(pidfd)
    if not in_time:
        os.killpg(pid, signal.SIGKILL)
    status = os.waitpid(pid, 0)[1]
    return os.waitstatus_to_exitcode(status) if in_time else None
