"""What is told of the processes of exec: their events, and the ids of those that run (inspect's ExecIDs).

A file in the container's directory names the process while it runs. One whose command was killed stays until somebody
looks: then its process is gone. Health checks are told of by their results alone (`health_status`).
"""

import marshal
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from minirun.engine.exec import ExecProcess
from minirun.engine.lifecycle import tell
from minirun.errors import FAILED, MinirunError, describe
from minirun.init.program import StartError
from minirun.instance import Instance
from minirun.kernel import processes


class ExecRecord:
    """One exec, by an id of its own."""

    def __init__(self, instance: Instance, container_id: str, argv: Sequence[str], exec_id: str = "") -> None:
        self.id = exec_id or os.urandom(32).hex()
        self.container_id = container_id
        self._argv = argv
        self._file = _directory(instance, container_id) / self.id

    def tell(self, instance: Instance, action: str) -> None:
        """Record the event `exec_create` or `exec_start`."""
        words = f"{self._argv[0]} {' '.join(self._argv[1:])}"
        tell(instance, self.container_id, f"{action}: {words}", execID=self.id)

    def has_started(self, pid: int) -> None:
        """The process runs."""
        if (started := processes.start_time(pid)) is None:
            return  # it has ended already
        try:
            self._file.parent.mkdir(mode=0o700, exist_ok=True)
            self._file.write_text(f"{pid} {started}")
        except OSError:
            pass  # a full disk, or a container that is gone: it runs all the same

    def has_ended(self, instance: Instance, code: int) -> None:
        """The process has ended with this exit code."""
        self._file.unlink(missing_ok=True)
        tell(instance, self.container_id, "exec_die", execID=self.id, exitCode=str(code))


def end_of(joined: ExecProcess) -> int:
    """Wait for the end of a process. Return its exit code, 128 and more for a signal.

    Its helpers are still to be reaped; the kernel takes 2 ms to end them.
    """
    status = os.waitstatus_to_exitcode(os.waitpid(joined.pid, 0)[1])
    return 128 - status if status < 0 else status


def start_detached(instance: Instance, tracked: ExecRecord, begin: Callable[[], ExecProcess]) -> None:
    """Let a process that stays begin it and wait for its end, which is an event. StartError or MinirunError as `begin`.

    That process has none of the caller's files or its terminal. `instance` is closed: SQLite must not be forked.
    """
    root = instance.root
    instance.store.close()
    answer, answer_end = os.pipe()
    if processes.fork_away():
        os.close(answer_end)
        with open(answer, "rb") as stream:
            said = stream.read()
        if said != _RUNS:
            raise _failure(said)
        return

    def stay() -> int:
        processes.clear_signals()
        joined = begin()
        joined.reap_helpers()
        tracked.has_started(joined.pid)
        os.write(answer_end, _RUNS)
        os.chdir("/")
        null = os.open("/dev/null", os.O_RDWR)
        for fd in range(3):
            os.dup2(null, fd)
        processes.close_from(3)
        code = end_of(joined)
        tracked.has_ended(Instance(root), code)
        return 0

    def report(error: BaseException) -> None:
        if isinstance(error, StartError):
            said = (True, error.code, error.text, "")
        elif isinstance(error, MinirunError):
            said = (False, error.code, error.message, error.hint)
        else:
            said = (False, FAILED, describe(error), "")
        os.write(answer_end, marshal.dumps(said))

    processes.live(stay, report)


_RUNS = b"K"


def _failure(said: bytes) -> Exception:
    if not said:
        return MinirunError("the process that was to begin it was killed", code=FAILED)
    is_programs, code, text, hint = marshal.loads(said)
    return StartError(code, text) if is_programs else MinirunError(text, hint, code)


def running_execs(instance: Instance, container_id: str) -> list[str]:
    """Return the ids of the execs that run in a container."""
    try:
        files = sorted(_directory(instance, container_id).iterdir())
    except FileNotFoundError:
        return []
    return [file.name for file in files if _runs(file)]


def _runs(file: Path) -> bool:
    try:
        pid, started = file.read_text().split()
    except (FileNotFoundError, ValueError):  # it has just ended, or begun
        return False
    if processes.start_time(int(pid)) == int(started):
        return True
    file.unlink(missing_ok=True)
    return False


def _directory(instance: Instance, container_id: str) -> Path:
    return instance.container_dir(container_id) / "execs"
