"""Containers, networks and faults that end with a process on the host, their owner (--owner-pid), however it ends.

For each owner a guard waits: a process of a few pages (csrc/sleeper.c) that polls the owner's pidfd. A pidfd means one
process, whoever has its pid later. When the owner has ended, the guard executes a command, which removes what is left
behind, as every command does (`reconcile`). So when the guard was killed, too, or the machine has lost its power, the
next command removes it.
"""

import os
import sys
from collections.abc import Callable
from functools import partial

from minirun.engine.liveness import is_alive
from minirun.engine.remove import remove
from minirun.engine.stop import begin_stop
from minirun.errors import MinirunError, describe
from minirun.forkserver.location import launcher
from minirun.image import records
from minirun.image.remove import remove_image
from minirun.instance import Instance, lock_directory
from minirun.kernel import execution, processes
from minirun.model import Process
from minirun.network.operations import end_dns_server_soon, heal_by_ids, remove_unused


def guarded_owner(instance: Instance, pid: int) -> Process:
    """Return the process `pid` as an owner, after a guard for it was started, unless there is one.

    The guard comes first: nothing is ever on record that nobody would remove. MinirunError when there is no such
    process.
    """
    owner = Process(pid, processes.start_time(pid) or 0)
    if is_alive(instance.store.guard(owner)):
        return owner
    pidfd = processes.open_process(owner.pid, owner.started) if owner.started else None
    if pidfd is None:
        raise MinirunError(f"there is no process {pid} that could own anything", "--owner-pid $$ names the shell")
    try:
        guard = execution.spawn_guard(pidfd, f"minirun-guard {pid}", _command(instance))
    finally:
        os.close(pidfd)
    instance.store.set_guard(owner, Process(guard, processes.start_time(guard) or 0))
    return owner


def _command(instance: Instance) -> list[str]:
    """A command that removes what owners leave behind, as all do."""
    program = launcher()
    start = [str(program)] if program else [sys.executable, "-I", "-m", "minirun"]
    return [*start, "--root", str(instance.root), "ps", "--quiet"]


def remove_abandoned(instance: Instance) -> None:
    """Remove what belongs to owners that have ended. What others still use is left for a later command.

    The owners of a test run end together, and a guard of each comes here: one does the work, the others wait for it.
    """
    if _abandoned(instance):
        with lock_directory(instance.root / "containers"):
            _remove(instance, _abandoned(instance))


def _abandoned(instance: Instance) -> list[tuple[str, str]]:
    """Kind and id of what belongs to owners that have ended."""
    boot, store = processes.boot_id(), instance.store
    owners = [owner for owner in store.owners() if owner[1] != boot or not is_alive(owner[0])]
    return [item for owner in owners for item in store.owned(*owner)]


def _remove(instance: Instance, owned: list[tuple[str, str]]) -> None:
    store = instance.store
    _attempt(partial(heal_by_ids, instance, [each for kind, each in owned if kind == "fault"]))
    containers = [found for kind, each in owned if kind == "container" and (found := store.container(each))]
    for container in [each for each in containers if _attempt(partial(begin_stop, instance, each, 9, None, ""))]:
        _attempt(partial(remove, instance, container, force=True, volumes=True))
    networks = [network for kind, each in owned if kind == "network" and (network := store.network(each))]
    if networks:
        _attempt(partial(remove_unused, instance, networks))
    _attempt(partial(end_dns_server_soon, instance))
    for image in [image for kind, each in owned if kind == "image" and (image := records.by_id(store, each))]:
        _attempt(partial(remove_image, instance, image.id, force=False, prune=False))


def _attempt(act: Callable[[], object]) -> bool:
    """Do one part. What fails is tried again by the next command: this one has something else to do."""
    try:
        act()
    except (MinirunError, OSError) as error:
        print(f"minirun: cannot remove what an ended owner has left: {describe(error)}", file=sys.stderr)
        return False
    return True
