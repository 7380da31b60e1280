"""Ending a running container from outside, or holding it still: signals, patience, and waiting until its monitor has
taken all back."""

import os
import signal
import time
from dataclasses import replace

from minirun.errors import MinirunError
from minirun.instance import Instance
from minirun.kernel import freezer, processes
from minirun.kernel.sockets import control_connect
from minirun.lifecycle import KILLED, MONITOR_LOST, delete, finish, is_tended, tell
from minirun.model import ACTIVE, Container, Process, Status
from minirun.signals import parse_signal
from minirun.wire import ATTACH_SOCKET, Kind, frame

DEFAULT_PATIENCE = 10
_MONITOR_PATIENCE = 30.0  # seconds that a monitor may need to take everything back


def send(instance: Instance, container: Container, number: int) -> None:
    """A signal to pid 1. MinirunError when it is not running. One that asks for the end is on record as such."""
    if container.status is Status.RESTARTING and _ends(container, number):
        cancel(instance, container)
        return
    if container.status is not Status.RUNNING or container.init is None:
        raise MinirunError(f"Container {container.name} is not running")
    with instance.store.write():
        if _ends(container, number):
            instance.store.set_values(container.id, stop_requested=1)
        tell(instance.store, container.id, "kill", signal=str(number))
    _signal(container.init, number)
    if container.paused and number == signal.SIGKILL:
        thaw(instance, container)


def stop_signal(container: Container) -> int:
    return parse_signal(container.spec.stop_signal or "SIGTERM")


def patience_of(container: Container, wanted: int | None) -> float | None:
    """Seconds until SIGKILL: what the command says, else what was said at its creation, else 10. None: for ever."""
    said = wanted if wanted is not None else container.spec.stop_timeout
    seconds = DEFAULT_PATIENCE if said is None else said
    return None if seconds < 0 else float(seconds)


def stop(instance: Instance, container: Container, number: int | None, patience: float | None) -> None:
    """The stop signal, then after `patience` seconds (None: for ever) SIGKILL; returns when all is taken back."""
    if container.status not in ACTIVE:
        return
    # First the wish, then a look: from here on its monitor will not decide to start it again, and what it decided
    # before is seen.
    instance.store.set_values(container.id, stop_requested=1)
    container = instance.store.container(container.id) or container
    if container.status is Status.RESTARTING:
        cancel(instance, container)
    elif container.init is not None:
        _signal(container.init, number or stop_signal(container))
        if container.paused:
            thaw(instance, container)
        if not _wait(container.init, patience):
            _signal(container.init, 9)
    settle(instance, container)
    with instance.store.write():
        tell(instance.store, container.id, "stop")


def stop_keeping(instance: Instance, container: Container, number: int | None, patience: float | None) -> None:
    """For a restart: one with --rm is not removed by this end. `keep_no_longer` gives it its --rm back."""
    if container.spec.auto_remove:
        instance.store.set_spec(container.id, replace(container.spec, auto_remove=False))
    stop(instance, container, number, patience)


def keep_no_longer(instance: Instance, container: Container) -> None:
    """After its next start, not before: stopped and with --rm, the next command would remove it."""
    if container.spec.auto_remove:
        instance.store.set_spec(container.id, container.spec)


def cancel(instance: Instance, container: Container) -> None:
    """One that waits for its next start: there is no process to signal, so its monitor is told."""
    instance.store.set_values(container.id, stop_requested=1)
    try:
        channel = control_connect(str(instance.container_dir(container.id)), ATTACH_SOCKET)
        channel.sendall(frame(Kind.CANCEL))
        channel.close()
    except OSError:
        pass  # the monitor is about to end; settle sees how it went
    current = instance.store.container(container.id)
    if current is not None and current.init is not None:
        _signal(current.init, 9)  # it has just been started again


def settle(instance: Instance, container: Container) -> None:
    """Wait for the monitor of a container that is ending; if it is gone without a word, take everything back here.

    Until its record says so, rather than until the monitor is gone: that stays for a reader who is slow.
    """
    deadline = time.monotonic() + _MONITOR_PATIENCE
    current: Container | None = container
    while current is not None and current.monitor is not None and time.monotonic() < deadline:
        if _wait(current.monitor, 0.05):
            break
        current = instance.store.container(container.id)
    current = instance.store.container(container.id)
    if current is not None and current.status is Status.STARTING and current.command is not None:
        _wait(current.command, _MONITOR_PATIENCE)  # its monitor is lost, and it is taking the start back
        current = instance.store.container(container.id)
    if current is not None and current.status in ACTIVE and not is_tended(current):
        finish(instance, container.id, KILLED, MONITOR_LOST)


def take_back(instance: Instance, container: Container) -> None:
    """For a command whose monitor closed the channel without a word. Others wait for that command (`settle`)."""
    gone = container.monitor is None or _wait(container.monitor, _MONITOR_PATIENCE)
    if gone and container.status in ACTIVE:
        finish(instance, container.id, KILLED, MONITOR_LOST)


def thaw(instance: Instance, container: Container) -> None:
    freezer.thaw(freezer.freezer_group(instance.cgroup, container.id))
    with instance.store.write():
        instance.store.set_values(container.id, paused=0)
        tell(instance.store, container.id, "unpause")


def freeze(instance: Instance, container: Container) -> None:
    if container.status is not Status.RUNNING:
        raise MinirunError(f"Container {container.id} is not running")
    if container.paused:
        raise MinirunError(f"Container {container.id} is already paused")
    instance.store.set_values(container.id, paused=1)  # before the fact: frozen and not on record, nobody could thaw it
    try:
        freezer.freeze(freezer.freezer_group(instance.cgroup, container.id))
    except BaseException:
        instance.store.set_values(container.id, paused=0)
        raise
    with instance.store.write():
        tell(instance.store, container.id, "pause")


def remove(instance: Instance, container: Container, force: bool) -> None:
    """Remove a stopped container; with `force` a running one is killed first. Gone meanwhile is fine."""
    if container.status in ACTIVE:
        if not force:
            state = "paused" if container.paused else container.status
            raise MinirunError(
                f'cannot remove container "{container.name}": container is {state}:'
                " stop the container before removing or force remove",
                f"minirun rm -f {container.name}",
            )
        stop(instance, container, 9, None)
    current = instance.store.container(container.id)
    if current is not None:
        delete(instance, current)


def _ends(container: Container, number: int) -> bool:
    """Whether a user asks for the end by it."""
    return number in (signal.SIGKILL, signal.SIGTERM, stop_signal(container))


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
