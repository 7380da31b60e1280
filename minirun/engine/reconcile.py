"""What each command repairs first: the remains of a killed minirun, a killed shim or a reboot."""

import sys
import time

from minirun.engine.lifecycle import KILLED, SHIM_LOST, finish_run, sweep_removed
from minirun.engine.liveness import POLL_INTERVAL, is_alive, is_supervised, wait_for_end
from minirun.engine.owners import remove_abandoned
from minirun.engine.restart import revive, wants_revival
from minirun.instance import Instance
from minirun.kernel import processes
from minirun.model import Status
from minirun.network import operations
from minirun.store import Store
from minirun.store.activity import Run

_UP = (Status.RUNNING, Status.RESTARTING)
_EXACT = 32  # containers whose shim is checked by pid and start time; 30 us each
_UNDO_TIMEOUT = 5.0  # seconds for a shim to undo its part of a start whose command was killed


def reconcile(instance: Instance, repairs: bool = True, revives: bool = True) -> None:
    """Make the record true again: finish the runs that nobody is responsible for any more.

    With `repairs`, also repair the networks in use where somebody has damaged them; with `revives`, start the
    containers again that were killed with their shim and whose restart policy asks for it.
    """
    sweep_removed(instance)
    store, boot = instance.store, processes.boot_id()
    lost_runs = _lost_runs(store, boot)
    revived = _revive(instance, [run for run in lost_runs if _was_up(run, boot)]) if revives and lost_runs else set()
    for run in lost_runs:
        has_ended = finish_run(instance, run.id, run.shim, KILLED, SHIM_LOST, run.status == Status.REMOVING)
        if has_ended and _was_up(run, boot):
            _tell_of_lost_run(instance, run, run.id in revived)
    remove_abandoned(instance)
    operations.reconcile(instance, repairs=repairs)


def _was_up(run: Run, boot: str) -> bool:
    return run.boot == boot and run.status in _UP


def _revive(instance: Instance, runs: list[Run]) -> set[str]:
    """Have the containers of lost runs started again whose policy asks for it. Return their ids."""
    containers = [found for run in runs if (found := instance.store.container(run.id)) and wants_revival(found)]
    if containers:
        revive(instance, containers[0])
    return {container.id for container in containers}


def _tell_of_lost_run(instance: Instance, run: Run, is_revived: bool) -> None:
    container = instance.store.container(run.id)
    if container is None:  # it had --rm
        return
    text = f"minirun: container {container.name}: {SHIM_LOST}"
    if is_revived:
        text += f"; it starts again (--restart={container.spec.restart.name})"
    print(text, file=sys.stderr)


def _lost_runs(store: Store, boot: str) -> list[Run]:
    """The runs whose responsible processes are dead. A record of another boot is never believed.

    With many running containers, each command checks only some exactly, in rotation; for the others it checks whether
    any process has the shim's pid. That pid may belong to another process by now, but seldom does.
    """
    running = store.running(boot)
    first = time.monotonic_ns() % len(running) if len(running) > _EXACT else 0
    checked = {container_id for container_id, _ in (running[first:] + running[:first])[:_EXACT]}
    checked |= {container_id for container_id, pid in running if pid is None or not processes.exists(pid)}
    unsettled = store.unsettled(boot)
    for run in unsettled:
        if run.boot == boot and run.status == Status.STARTING and not is_alive(run.command):
            _wait_for_undone_start(store, run)
    suspects = [*unsettled, *store.runs(checked)]
    return [run for run in suspects if run.boot != boot or not is_supervised(run)]


def _wait_for_undone_start(store: Store, run: Run) -> None:
    """Wait for the shim of a start whose command was killed: it undoes the start, or the container runs already.

    Until then it holds the start's ports, and the next command would be told that they are taken.
    """
    deadline = time.monotonic() + _UNDO_TIMEOUT
    while run.shim and not wait_for_end(run.shim, POLL_INTERVAL) and time.monotonic() < deadline:
        if any(current.status in _UP for current in store.runs([run.id])):
            break
