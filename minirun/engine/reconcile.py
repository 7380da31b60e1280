"""What each command repairs first: the remains of a killed minirun, a killed shim or a reboot."""

import time

from minirun.engine.lifecycle import KILLED, SHIM_LOST, finish_run, sweep_removed
from minirun.engine.liveness import is_supervised
from minirun.instance import Instance
from minirun.kernel import processes
from minirun.model import Status
from minirun.network import operations
from minirun.store import Store
from minirun.store.activity import Run

_EXACT = 32  # containers whose shim is checked by pid and start time; 30 us each


def reconcile(instance: Instance, repairs: bool = True) -> None:
    """Make the record true again: finish the runs that nobody is responsible for any more.

    With `repairs`, also repair the networks in use where somebody has damaged them.
    """
    sweep_removed(instance)
    store, boot = instance.store, processes.boot_id()
    for run in _lost_runs(store, boot):
        finish_run(instance, run.id, run.shim, KILLED, SHIM_LOST, run.status == Status.REMOVING)
    operations.reconcile(instance, repairs=repairs)


def _lost_runs(store: Store, boot: str) -> list[Run]:
    """The runs whose responsible processes are dead. A record of another boot is never believed.

    With many running containers, each command checks only some exactly, in rotation; for the others it checks whether
    any process has the shim's pid. That pid may belong to another process by now, but seldom does.
    """
    running = store.running(boot)
    first = time.monotonic_ns() % len(running) if len(running) > _EXACT else 0
    checked = {container_id for container_id, _ in (running[first:] + running[:first])[:_EXACT]}
    checked |= {container_id for container_id, pid in running if pid is None or not processes.exists(pid)}
    suspects = [*store.unsettled(boot), *store.runs(checked)]
    return [run for run in suspects if run.boot != boot or not is_supervised(run)]
