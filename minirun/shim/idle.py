"""An idle shim becomes a C program of a few pages (csrc/sleeper.c), which becomes the shim again on the next event.

The container's end is seen to by a worker of the fork server, if there is one: that is ready at once, and an end is all
that most shims wake up for.

It stays the same process: pid, children, files and PR_SET_PDEATHSIG, which ties the container's life to its own,
survive execve(2). The rest of its state waits in a memfd. Python in the event loop would take 6 MB for each container
that does nothing.
"""

import os
import sys
from dataclasses import dataclass, field

from minirun.errors import MinirunError
from minirun.forkserver.location import launcher
from minirun.init.plan import pack, unpack
from minirun.kernel import execution, seam

_VARIABLE = "MINIRUN_AWAKE"
_DEFAULT = "1"


def idle_timeout() -> float | None:
    """Seconds without an event after which the shim becomes the sleeper; None for never.

    MINIRUN_AWAKE sets it. Never with --explain, which reports what the shim does. MinirunError for an invalid value.
    """
    text = os.environ.get(_VARIABLE, _DEFAULT)
    if not text or seam.kept_open():
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1
    if not 0 <= seconds < 1e6:
        raise MinirunError(f"{_VARIABLE}={text}: must be the seconds until an idle shim sleeps, or empty for never")
    return seconds


@dataclass(frozen=True)
class IdleState:
    """The shim's state while it is the sleeper. Files are descriptors; `began` is on the monotonic clock.

    identity: the shim's pid and start time, as on record
    relay, relayed: the epoll of the relayed ports and where each leads to (port_relay.py)
    """

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
    identity: tuple[int, int]
    may_restart: bool
    relay: int | None = None
    relayed: dict[int, tuple[str, int]] = field(default_factory=dict)

    @property
    def watched(self) -> list[int]:
        """The descriptors whose events wake the shim."""
        optional = [fd for fd in (self.resolver, self.relay) if fd is not None]
        return [self.pidfd, self.listener, *self.outputs, *optional]

    @property
    def files(self) -> list[int]:
        """All descriptors, which must survive execve."""
        return [fd for fd in {*self.watched, self.stdin, self.terminal, *self.ports} if fd >= 0]


def become_sleeper(state: IdleState) -> None:
    """Execute the sleeper, which later executes Python with `prefork.wake`, or has a worker run `prefork.end`.

    A worker can start no container, which is to be the shim's child. Returns only on failure.

    SIGTERM must be blocked, and stays so.
    """
    memory = execution.memory_file("minirun-idle", pack(state))
    script = f"import sys; sys.path[:] = {sys.path!r}; from minirun.shim.prefork import wake; wake({memory})"
    try:
        title, kept = ["minirun-shim", state.container[:12]], [*state.files, memory]
        used = None if state.may_restart else launcher()
        execution.exec_sleeper(title, state.watched, kept, script, used, memory)
    except OSError as error:
        print(f"cannot execute the sleeper, so the shim stays awake: {error}", file=sys.stderr)
        os.close(memory)
        _close_on_exec(state.files)


def restore(memory: int) -> IdleState:
    """Read the state back from the memfd, and make its files close-on-exec again."""
    with open(memory, "rb") as file:
        state = unpack(IdleState, file.read())
    _close_on_exec(state.files)
    return state


def _close_on_exec(files: list[int]) -> None:
    for fd in files:
        os.set_inheritable(fd, False)
