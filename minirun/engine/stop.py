"""Ending a running container from outside, or holding it still: signals, patience, and waiting until its monitor has
taken all back."""

import errno
import os
import signal
import time
from dataclasses import replace
from functools import partial

from minirun.engine.lifecycle import KILLED, MONITOR_LOST, delete, finish, is_same, is_tended, tell
from minirun.engine.protocol import ATTACH_SOCKET, Kind, frame
from minirun.errors import MinirunError
from minirun.instance import Instance
from minirun.kernel import freezer, processes
from minirun.kernel.sockets import control_connect
from minirun.model import ACTIVE, Container, Process, Status
from minirun.options.values import parse_signal
from minirun.store.faults import with_reserve

DEFAULT_PATIENCE = 10
_MONITOR_PATIENCE = 30.0  # seconds that a monitor may need to take everything back
_GLANCE = 0.02  # seconds between two looks at the record
_MOST_STARTS = 10  # by others, of one that is being removed


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
    container = _wish_its_end(instance, container)
    if container.status is Status.RESTARTING:
        cancel(instance, container)
    elif container.init is not None:
        _signal(container.init, number or stop_signal(container))
        if container.paused:
            thaw(instance, container)
        if not _wait(container.init, patience):
            _signal(container.init, 9)
            _thaw_if_paused(instance, container)
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


def _wish_its_end(instance: Instance, container: Container) -> Container:
    """First the wish, then a look: from here on its monitor will not decide to start it again, and what it decided
    before is seen. One that others have just started again is not yet one that can be ended."""
    while True:
        container = past_its_start(instance, container)
        wish = partial(instance.store.set_values, container.id, stop_requested=1)
        with_reserve(instance.root, wish)
        current = instance.store.container(container.id)
        if current is None or not _is_starting(current):
            return current or container
        container = current


def past_its_start(instance: Instance, container: Container) -> Container:
    """One that is being started has no process to signal yet. A moment later it has, or the start has failed."""
    deadline = time.monotonic() + _MONITOR_PATIENCE
    while _is_starting(container):
        if time.monotonic() > deadline:
            raise MinirunError(f"container {container.name} is being started since {_MONITOR_PATIENCE:.0f} s")
        time.sleep(_GLANCE)
        current = instance.store.container(container.id)
        if current is None:
            break
        container = current
    return container


def _is_starting(container: Container) -> bool:
    return container.status is Status.STARTING and is_tended(container)


def settle(instance: Instance, container: Container) -> None:
    """Wait for the monitor of a container that is ending; if it is gone without a word, take everything back here.

    Until its record says so, rather than until the monitor is gone: that stays for a reader who is slow. And of this
    run only: others may start it again meanwhile.
    """
    deadline = time.monotonic() + _MONITOR_PATIENCE
    while (current := _same_run(instance, container)) is not None and time.monotonic() < deadline:
        if current.monitor is None or _wait(current.monitor, _GLANCE):
            break
    current = _same_run(instance, container)
    if current is not None and current.status is Status.STARTING and current.command is not None:
        _wait(current.command, _MONITOR_PATIENCE)  # its monitor is lost, and it is taking the start back
        current = _same_run(instance, container)
    if current is None:
        return
    if is_tended(current):
        raise MinirunError(
            f"container {container.name} is {current.status}: its end was not recorded in {_MONITOR_PATIENCE:.0f} s",
            f"see what its monitor, process {current.monitor and current.monitor.pid}, waits for",
        )
    finish(instance, container.id, current.monitor, KILLED, MONITOR_LOST)


def _same_run(instance: Instance, container: Container) -> Container | None:
    """As it is on record now; None when that run has been taken back."""
    current = instance.store.container(container.id)
    if current is None or current.monitor is None or not is_same(current.monitor, container.monitor):
        return None
    return current


def take_back(instance: Instance, container: Container) -> None:
    """For a command whose monitor closed the channel without a word. Others wait for that command (`settle`)."""
    gone = container.monitor is None or _wait(container.monitor, _MONITOR_PATIENCE)
    if gone and container.status in ACTIVE:
        finish(instance, container.id, container.monitor, KILLED, MONITOR_LOST)


def thaw(instance: Instance, container: Container) -> None:
    freezer.thaw(freezer.freezer_group(instance.cgroup, container.id))
    with instance.store.write():
        instance.store.set_values(container.id, paused=0)
        tell(instance.store, container.id, "unpause")


def _thaw_if_paused(instance: Instance, container: Container) -> None:
    """By another command, meanwhile."""
    current = instance.store.container(container.id)
    if current is not None and current.paused:
        thaw(instance, current)


def freeze(instance: Instance, container: Container) -> None:
    if container.status is not Status.RUNNING:
        raise MinirunError(f"Container {container.id} is not running")
    if container.paused:
        raise MinirunError(f"Container {container.id} is already paused")
    instance.store.set_values(container.id, paused=1)  # before the fact: frozen and not on record, nobody could thaw it
    try:
        freezer.freeze(freezer.freezer_group(instance.cgroup, container.id))
    except BaseException as error:
        instance.store.set_values(container.id, paused=0)
        if isinstance(error, OSError) and error.errno in (errno.ENOENT, errno.ENODEV):  # it has just ended
            raise MinirunError(f"Container {container.id} is not running") from error
        raise
    with instance.store.write():
        tell(instance.store, container.id, "pause")


def remove(instance: Instance, container: Container, force: bool, volumes: bool = False) -> None:
    """Remove a stopped container; with `force` a running one is killed first. Gone meanwhile is fine. `volumes`: those
    that had no name, too."""
    current: Container | None = container
    for _ in range(_MOST_STARTS):
        if current is None:
            return
        if current.status in ACTIVE:
            _refuse_running(current, force)
            stop(instance, current, 9, None)
        elif current.monitor is not None:
            settle(instance, current)
        if delete(instance, current, volumes or current.spec.auto_remove):
            return
        current = instance.store.container(container.id)
    raise MinirunError(f'cannot remove container "{container.name}": it is started again and again')


def _refuse_running(container: Container, force: bool) -> None:
    if not force:
        state = "paused" if container.paused else container.status
        raise MinirunError(
            f'cannot remove container "{container.name}": container is {state}:'
            " stop the container before removing or force remove",
            f"minirun rm -f {container.name}",
        )


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
