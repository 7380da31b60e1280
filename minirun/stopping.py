"""Ending a running container from outside: signals, patience, and waiting until its monitor has taken all back."""

import os

from minirun.errors import MinirunError
from minirun.instance import Instance
from minirun.kernel import processes
from minirun.lifecycle import KILLED, delete, finish, is_tended
from minirun.model import ACTIVE, Container, Process, Status

_MONITOR_PATIENCE = 30.0  # seconds that a monitor may need to take everything back


def send(container: Container, number: int) -> None:
    """A signal to pid 1. MinirunError when it is not running."""
    if container.status is not Status.RUNNING or container.init is None:
        raise MinirunError(f"Container {container.name} is not running")
    _signal(container.init, number)


def stop(instance: Instance, container: Container, number: int, patience: float | None) -> None:
    """The stop signal, then after `patience` seconds (None: for ever) SIGKILL; returns when all is taken back."""
    if container.init is not None and container.status in ACTIVE:
        _signal(container.init, number)
        if not _wait(container.init, patience):
            _signal(container.init, 9)
    settle(instance, container)


def settle(instance: Instance, container: Container) -> None:
    """Wait for the monitor of a container that is ending; if it is gone without a word, take everything back here."""
    if container.monitor is not None:
        _wait(container.monitor, _MONITOR_PATIENCE)
    current = instance.store.container(container.id)
    if current is not None and current.status is Status.STARTING and current.command is not None:
        _wait(current.command, _MONITOR_PATIENCE)  # its monitor is lost, and it is taking the start back
        current = instance.store.container(container.id)
    if current is not None and current.status in ACTIVE and not is_tended(current):
        finish(instance, container.id, KILLED, "its monitor was lost")


def remove(instance: Instance, container: Container, force: bool) -> None:
    """Remove a stopped container; with `force` a running one is killed first. Gone meanwhile is fine."""
    if container.status in ACTIVE:
        if not force:
            raise MinirunError(
                f"cannot remove container {container.name!r}: container is running",
                "stop the container before removing or force remove: minirun rm -f",
            )
        stop(instance, container, 9, None)
    current = instance.store.container(container.id)
    if current is not None:
        delete(instance, current)


def _signal(process: Process, number: int) -> None:
    pidfd = processes.open_process(process.pid, process.started)
    if pidfd is None:
        return
    try:
        processes.signal_send(pidfd, number, process.pid)
    finally:
        os.close(pidfd)


def _wait(process: Process, seconds: float | None) -> bool:
    pidfd = processes.open_process(process.pid, process.started)
    if pidfd is None:
        return True
    try:
        return processes.wait_gone(pidfd, seconds)
    finally:
        os.close(pidfd)
