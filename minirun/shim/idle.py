"""A monitor with nothing to do sleeps: it becomes a C program of a few pages (csrc/sleeper.c), and when one of its
files has something to read, that becomes the monitor again.

It stays the same process all the while: its number, its children, its files and its share in the container's end
(PR_SET_PDEATHSIG) survive execve(2). What else it knows waits in a file in memory. To be awake again takes 20 ms; a
Python that waits takes 6 MB, and for a thousand containers that was most of what they needed.
"""

import gc
import os
import sys
from dataclasses import dataclass

from minirun.errors import MinirunError
from minirun.init.plan import packed, unpacked
from minirun.kernel import processes, seam

_VARIABLE = "MINIRUN_AWAKE"
_USUAL = "1"


def patience() -> float | None:
    """Seconds without any event before it sleeps; None: it never does. With --explain it has somebody to tell what it
    does."""
    text = os.environ.get(_VARIABLE, _USUAL)
    if not text or seam.kept_open():
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1
    if not 0 <= seconds < 1e6:
        raise MinirunError(f"{_VARIABLE}={text}: how many seconds a monitor waits before it sleeps; empty for ever")
    return seconds


@dataclass(frozen=True)
class Kept:
    """What is written down. Numbers of files are descriptors; `began` is on the monotonic clock."""

    container: str
    plan: bytes
    pid: int
    pidfd: int
    stdin: int
    terminal: int
    outputs: dict[int, int]
    stdin_ending: bool
    listener: int
    ports: list[int]
    resolver: int | None
    delay: float
    began: float
    cancelled: bool

    @property
    def watched(self) -> list[int]:
        return [self.pidfd, self.listener, *self.outputs, *(() if self.resolver is None else (self.resolver,))]

    @property
    def files(self) -> list[int]:
        return [fd for fd in {*self.watched, self.stdin, self.terminal, *self.ports} if fd >= 0]


def fall_asleep(kept: Kept) -> None:
    """Returns only when it cannot be done. SIGTERM is blocked, and stays so."""
    memory = processes.memory_file("minirun-asleep", packed(kept))
    script = f"import sys; sys.path[:] = {sys.path!r}; from minirun.shim.idle import wake; wake({memory})"
    try:
        processes.exec_sleeper(["minirun-monitor", kept.container[:12]], kept.watched, [*kept.files, memory], script)
    except OSError as error:
        print(f"cannot sleep, so it stays awake: {error}", file=sys.stderr)
        os.close(memory)
        _take(kept.files)


def _take(files: list[int]) -> None:
    """They go to no other program."""
    for fd in files:
        os.set_inheritable(fd, False)


def wake(memory: int) -> None:
    """The life of a monitor goes on. It never returns."""
    code = 1
    try:
        gc.disable()
        seam.be("shim")
        processes.left_sleeper()
        with open(memory, "rb") as file:
            kept = unpacked(Kept, file.read())
        _take(kept.files)
        from minirun.shim.main import Monitor

        monitor = Monitor.awake(kept)
        gc.enable()
        gc.freeze()
        monitor.live()
        code = 0
    finally:
        sys.stderr.flush()
        if code:
            import traceback

            traceback.print_exc()
        os._exit(code)
