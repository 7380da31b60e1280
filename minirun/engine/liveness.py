"""Whether a container and the processes responsible for it are alive, and waiting for a change of that."""

import os
import time

from minirun.errors import MinirunError
from minirun.instance import Instance
from minirun.kernel import cgroups, controllers, processes
from minirun.kernel.procfs import namespace_members
from minirun.model import Container, Process, Status
from minirun.store.activity import Run

_START_TIMEOUT = 30.0  # seconds
POLL_INTERVAL = 0.02  # seconds between two reads of the record


def is_same(process: Process | None, other: Process | None) -> bool:
    """Whether both name one process by pid and start time, or both are None."""
    return (process and (process.pid, process.started)) == (other and (other.pid, other.started))


def is_alive(process: Process | None) -> bool:
    """Whether this process, and not a later one with its pid, still runs. A zombie does not."""
    return process is not None and processes.start_time(process.pid) == process.started


def is_supervised(container: Container | Run) -> bool:
    """Whether a live process is responsible: the shim, or during a start also the command.

    A start whose shim was killed is the command's to undo. If others cleaned up meanwhile, the command would go on to
    create things that no record knows of.
    """
    return is_alive(container.shim) or (container.status == Status.STARTING and is_alive(container.command))


def is_running(container: Container) -> bool:
    """Whether the record says running and the first process is alive."""
    return container.status is Status.RUNNING and is_alive(container.init)


def require_running(container: Container) -> None:
    """Raise MinirunError, in Docker's words, unless the container runs."""
    if container.status is Status.RESTARTING:
        raise MinirunError(f"Container {container.id} is restarting, wait until the container is running")
    if not is_running(container):
        raise MinirunError(f"container {container.id} is not running")


def member_pids(instance: Instance, container: Container) -> list[int]:
    """List the container's processes by their pids on the host, sorted.

    They are the members of its cgroup; on a host without cgroup v2, those of its pid namespace.
    """
    if container.init is None:
        return []
    group = cgroups.container_cgroup(instance.cgroup, container.id)
    return sorted(namespace_members(container.init.pid) if group is None else controllers.members(group))


def is_starting(container: Container) -> bool:
    """Whether a live command and shim are starting it right now."""
    return container.status is Status.STARTING and is_supervised(container)


def wait_until_started(instance: Instance, container: Container) -> Container:
    """Wait until a start in progress has succeeded or failed, and return the record as it is then.

    During the start there is no process to signal yet. MinirunError after 30 s.
    """
    deadline = time.monotonic() + _START_TIMEOUT
    while is_starting(container):
        if time.monotonic() > deadline:
            raise MinirunError(f"container {container.name} is still being started after {_START_TIMEOUT:.0f} s")
        time.sleep(POLL_INTERVAL)
        current = instance.store.container(container.id)
        if current is None:
            break
        container = current
    return container


def signal_process(process: Process, number: int) -> None:
    """Send a signal to this very process; one that has ended already is fine."""
    pidfd = processes.open_process(process.pid, process.started)
    if pidfd is None:
        return
    try:
        processes.signal_send(pidfd, number, process.pid)
    finally:
        os.close(pidfd)


def wait_for_end(process: Process, seconds: float | None) -> bool:
    """Wait until the process has ended, at most `seconds` (None: without limit). Return whether it has."""
    pidfd = processes.open_process(process.pid, process.started)
    if pidfd is None:
        return True
    try:
        return processes.wait_gone(pidfd, seconds)
    finally:
        os.close(pidfd)
