"""Signals, pausing, and ending a container from outside: stop signal, timeout, SIGKILL, then the shim's cleanup."""

import errno
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TypeVar

from minirun.engine.lifecycle import KILLED, SHIM_LOST, finish_run, record_event, tell
from minirun.engine.liveness import (
    POLL_INTERVAL,
    is_alive,
    is_same,
    is_starting,
    is_supervised,
    signal_process,
    wait_for_end,
    wait_until_started,
)
from minirun.engine.protocol import ATTACH_SOCKET, Kind, frame
from minirun.engine.restart import is_lost, revive, wants_revival
from minirun.errors import ConflictError, MinirunError
from minirun.instance import Instance
from minirun.kernel import freezer
from minirun.kernel.processes import boot_id
from minirun.kernel.sockets import control_connect
from minirun.model import ACTIVE, Container, Status
from minirun.options.values import parse_signal
from minirun.store.faults import with_reserve

DEFAULT_TIMEOUT = 10  # seconds, Docker's
_Result = TypeVar("_Result")
_ENDING = (Status.EXITED, Status.REMOVING)
_CLEANUP_TIMEOUT = 30.0  # seconds that a shim may take to clean up


def send_signal(instance: Instance, container: Container, number: int) -> None:
    """Send a signal to the container's first process.

    A signal that asks for the end is recorded as a request to stop, so no restart policy starts the container again;
    of one that waits for its restart, it cancels that. MinirunError when the container is not running.
    """
    if _asks_for_end(container, number):
        if container.status is Status.RESTARTING:
            cancel(instance, container)
            return
        if is_lost(container):
            _forbid_restart(instance, container)
            return
    if container.status is not Status.RUNNING or container.init is None:
        raise MinirunError(f"Container {container.name} is not running")
    with instance.store.write():
        if _asks_for_end(container, number):
            instance.store.set_values(container.id, stop_requested=1)
        record_event(instance.store, container.id, "kill", signal=str(number))
    signal_process(container.init, number)
    if container.paused and number == signal.SIGKILL:
        unpause(instance, container)


def _asks_for_end(container: Container, number: int) -> bool:
    return number in (signal.SIGKILL, signal.SIGTERM, stop_signal(container))


def stop_signal(container: Container) -> int:
    """The number of the container's stop signal: --stop-signal, the image's, or SIGTERM."""
    return parse_signal(container.spec.stop_signal or "SIGTERM")


def stop_timeout(container: Container, wanted: int | None) -> float | None:
    """Seconds between the stop signal and SIGKILL; None for no limit.

    `wanted` is the command's own choice and wins over the container's --stop-timeout; the default is 10 s.
    """
    chosen = wanted if wanted is not None else container.spec.stop_timeout
    seconds = DEFAULT_TIMEOUT if chosen is None else chosen
    return None if seconds < 0 else float(seconds)


def begin_stop(
    instance: Instance, container: Container, number: int | None, timeout: float | None, event: str = "stop"
) -> Callable[[], None]:
    """Send `number` or the stop signal. Returns what waits for the end, and for the cleanup.

    That one sends SIGKILL `timeout` seconds from now (None: never). So several containers stop at the same time.
    `event`: which one tells of it in the end; "" for none.
    """
    if container.status not in ACTIVE:
        if is_lost(container):
            _forbid_restart(instance, container)
        return lambda: None
    container = _request_stop(instance, container)
    if container.status is Status.RESTARTING:
        cancel(instance, container)
    elif container.init is not None:
        number = number or stop_signal(container)
        tell(instance, container.id, "kill", signal=str(number))
        signal_process(container.init, number)
        if container.paused:
            unpause(instance, container)
    deadline = None if timeout is None else time.monotonic() + timeout
    return partial(_end_stop, instance, container, deadline, event)


def _end_stop(instance: Instance, container: Container, deadline: float | None, event: str) -> None:
    if container.status is not Status.RESTARTING and container.init is not None:
        rest = None if deadline is None else max(0.0, deadline - time.monotonic())
        if not wait_for_end(container.init, rest):
            tell(instance, container.id, "kill", signal=str(int(signal.SIGKILL)))
            signal_process(container.init, signal.SIGKILL)
            _thaw_if_paused(instance, container)
    wait_for_cleanup(instance, container)
    if event:
        tell(instance, container.id, event)


def begin_stop_for_restart(
    instance: Instance, container: Container, number: int | None, timeout: float | None
) -> Callable[[], None]:
    """As `begin_stop`, but suspend --rm, so that this end doesn't remove the container (`restore_auto_remove`)."""
    if container.spec.auto_remove:
        instance.store.set_spec(container.id, replace(container.spec, auto_remove=False))
    return begin_stop(instance, container, number, timeout)


def restore_auto_remove(instance: Instance, container: Container) -> None:
    """Restore --rm after the restart; before it, the next command would remove the stopped container."""
    if container.spec.auto_remove:
        instance.store.set_spec(container.id, container.spec)


def cancel(instance: Instance, container: Container) -> None:
    """End a container that waits for its restart: no process to signal, so tell the shim."""
    _forbid_restart(instance, container)
    try:
        channel = control_connect(str(instance.container_dir(container.id)), ATTACH_SOCKET)
        channel.sendall(frame(Kind.CANCEL))
        channel.close()
    except OSError:
        pass  # the shim is about to end; settle sees the result
    current = instance.store.container(container.id)
    if current is not None and current.init is not None:
        signal_process(current.init, signal.SIGKILL)  # it has just been started again


def _forbid_restart(instance: Instance, container: Container) -> None:
    with_reserve(instance.root, partial(instance.store.set_values, container.id, stop_requested=1))


def _request_stop(instance: Instance, container: Container) -> Container:
    """Set stop_requested first, then read the record again, and return it.

    From then on the shim starts no new run, and a run that it had decided on before is seen here. One that another
    command is starting can't be ended yet: wait for that.
    """
    while True:
        container = wait_until_started(instance, container)
        _forbid_restart(instance, container)
        current = instance.store.container(container.id)
        if current is None or not is_starting(current):
            return current or container
        container = current


def wait_for_cleanup(instance: Instance, container: Container) -> None:
    """Wait until the shim of an ending container has cleaned up; if the shim was killed, clean up here.

    Waits for the record, not for the shim's end: a shim stays for slow readers. And for this run only: others may start
    the container again meanwhile. MinirunError after 30 s.
    """
    deadline = time.monotonic() + _CLEANUP_TIMEOUT
    while (current := _same_run(instance, container)) is not None and time.monotonic() < deadline:
        if current.shim is None or wait_for_end(current.shim, POLL_INTERVAL):
            break
    current = _same_run(instance, container)
    if current is not None and current.status is Status.STARTING and current.command is not None:
        wait_for_end(current.command, _CLEANUP_TIMEOUT)  # its shim was killed, and the command undoes the start
        current = _same_run(instance, container)
    if current is None:
        return
    if is_supervised(current):
        raise MinirunError(
            f"container {container.name} is {current.status}: its end was not recorded in {_CLEANUP_TIMEOUT:.0f} s",
            f"see what its shim, process {current.shim and current.shim.pid}, waits for",
        )
    finish_run(instance, container.id, current.shim, KILLED, SHIM_LOST)


def after_ends(instance: Instance, attempt: Callable[[], _Result], own: str = "") -> _Result:
    """Return what `attempt` returns; if a name, port or address is taken, first wait for the containers that are just
    ending, and try once more. Docker would say that it is taken by a container that nobody can see any more.

    own: a container whose lock the caller holds, so that its end cannot be waited for
    """
    try:
        return attempt()
    except ConflictError:
        store = instance.store
        unsettled = [run for run in store.unsettled(boot_id()) if run.id != own]
        ending = [run for run in unsettled if run.status in _ENDING and is_alive(run.shim)]
        if not ending:
            raise
        for run in ending:
            if (container := store.container(run.id)) is not None:
                wait_for_cleanup(instance, container)
        return attempt()


def _same_run(instance: Instance, container: Container) -> Container | None:
    """The record as it is now; None when that run has been cleaned up."""
    current = instance.store.container(container.id)
    if current is None or current.shim is None or not is_same(current.shim, container.shim):
        return None
    return current


def clean_up_lost_run(instance: Instance, container: Container) -> None:
    """Clean up for the command whose shim was killed. Other commands leave it to that one (`settle`).

    The container starts again if its restart policy asks for it.
    """
    gone = container.shim is None or wait_for_end(container.shim, _CLEANUP_TIMEOUT)
    if gone and container.status in ACTIVE:
        if container.status is not Status.STARTING and wants_revival(container):
            revive(instance, container)
        finish_run(instance, container.id, container.shim, KILLED, SHIM_LOST)


def pause(instance: Instance, container: Container) -> None:
    """Pause a running container. MinirunError when it is not running, or paused already."""
    if container.status is not Status.RUNNING:
        raise MinirunError(f"Container {container.id} is not running")
    if container.paused:
        raise MinirunError(f"Container {container.id} is already paused")
    # Recorded before the effect: frozen but not on record, nobody could unpause it.
    instance.store.set_values(container.id, paused=1)
    try:
        freezer.freeze(freezer.freezer_group(instance.cgroup, container.id))
    except BaseException as error:
        instance.store.set_values(container.id, paused=0)
        if isinstance(error, OSError) and error.errno in (errno.ENOENT, errno.ENODEV):  # it has just ended
            raise MinirunError(f"Container {container.id} is not running") from error
        raise
    with instance.store.write():
        record_event(instance.store, container.id, "pause")


def unpause(instance: Instance, container: Container) -> None:
    """Unpause a container."""
    freezer.thaw(freezer.freezer_group(instance.cgroup, container.id))
    with instance.store.write():
        instance.store.set_values(container.id, paused=0)
        record_event(instance.store, container.id, "unpause")


def _thaw_if_paused(instance: Instance, container: Container) -> None:
    """Unpause a container that another command has paused meanwhile."""
    current = instance.store.container(container.id)
    if current is not None and current.paused:
        unpause(instance, current)
