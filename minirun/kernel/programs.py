"""Running a program of the host, for what only that program can do: iptables-legacy, apparmor_parser, CNI plugins."""

import os
import select
import signal
from collections.abc import Mapping
from typing import NamedTuple

DIRECTORIES = ("/usr/sbin", "/sbin", "/usr/bin", "/bin")  # not the caller's PATH: it runs as root
_MOST = 1 << 20  # bytes of its output that are read


class Finished(NamedTuple):
    """The result. `code` is negative when a signal ended the program, None when it was killed after the timeout."""

    code: int | None
    out: str
    err: str


def program_path(name: str, directories: tuple[str, ...] = DIRECTORIES) -> str | None:
    """The path of a program, or None when none of the directories has it."""
    return next((path for directory in directories if os.access(path := f"{directory}/{name}", os.X_OK)), None)


def program_run(
    path: str,
    words: list[str],
    stdin: bytes = b"",
    env: Mapping[str, str] | None = None,
    seconds: float | None = None,
) -> Finished:
    """Run a program with the environment `env`, for `seconds` at most. Raises OSError when it cannot be started.

    Its streams are files in memory: a pipe would have to be read while it runs.
    """
    stdin_fd, stdout_fd, stderr_fd = (os.memfd_create(name, os.MFD_CLOEXEC) for name in ("stdin", "stdout", "stderr"))
    try:
        os.write(stdin_fd, stdin)
        os.lseek(stdin_fd, 0, os.SEEK_SET)
        streams = [(os.POSIX_SPAWN_DUP2, fd, number) for number, fd in enumerate((stdin_fd, stdout_fd, stderr_fd))]
        environment = {"PATH": ":".join(DIRECTORIES), **(env or {})}
        name = os.path.basename(path)
        # In a session of its own: Ctrl-C at the terminal does not reach it, and a timeout kills all its processes.
        pid = os.posix_spawn(path, [name, *words], environment, file_actions=streams, setsid=True)
        code = _wait(pid, seconds)
        return Finished(code, *(os.pread(fd, _MOST, 0).decode("utf-8", "replace") for fd in (stdout_fd, stderr_fd)))
    finally:
        for fd in (stdin_fd, stdout_fd, stderr_fd):
            os.close(fd)


def _wait(pid: int, seconds: float | None) -> int | None:
    pidfd = os.pidfd_open(pid)
    in_time = False
    try:
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        in_time = bool(poll.poll(None if seconds is None else seconds * 1000))
    finally:  # also when Ctrl-C ends the wait
        os.close(pidfd)
        if not in_time:
            os.killpg(pid, signal.SIGKILL)
        status = os.waitpid(pid, 0)[1]
    return os.waitstatus_to_exitcode(status) if in_time else None
