"""How a run ends and a container is deleted; and its changes of name.

The shim, a command whose start failed, and `reconcile` all end runs here. Everything works from the record alone and
may run twice, even in two processes at once: they take turns, and the second finds nothing left to do.
"""

import signal
import sqlite3
import time
from dataclasses import replace
from pathlib import Path

from minirun.engine.liveness import is_same, signal_process
from minirun.errors import MinirunError
from minirun.instance import Instance, lock_container
from minirun.kernel import cgroups, controllers
from minirun.kernel.files import remove_tree
from minirun.kernel.netns import netns_attach, netns_del
from minirun.kernel.usage import oom_killed
from minirun.model import Container, Process, Status
from minirun.network import operations
from minirun.store import Store
from minirun.store.faults import with_reserve
from minirun.volume.filesystems import unmount_volumes
from minirun.volume.volumes import add_mount_events, detach_anonymous, sweep

KILLED = 137  # exit code: 128 + SIGKILL
SHIM_LOST = "the shim of this container was killed, and the container with it"


def finish_run(
    instance: Instance, container_id: str, shim: Process | None, code: int, error: str = "", remove: bool = False
) -> bool:
    """Record the end of the run that `shim` was responsible for, and release what the container held.

    Does nothing when the record names another shim: that run was finished already. `code` is the exit code, `error`
    the reason of a failed start. With `remove`, or --rm, record and files are deleted too. Returns whether the end was
    not on record yet.
    """
    with lock_container(instance, container_id):
        container = instance.store.container(container_id)
        if container is not None and is_same(container.shim, shim):
            return with_reserve(instance.root, lambda: _finish(instance, container_id, code, error, remove))
    return False


def _finish(instance: Instance, container_id: str, code: int, error: str, remove: bool) -> bool:
    store, now = instance.store, time.time()
    running = store.container(container_id)
    duration = int(now - running.started_at) if running is not None and running.status is Status.RUNNING else 0
    with store.write():
        ended = store.set_exited(container_id, code, now, error)
        if ended:
            record_event(store, container_id, "die", execDuration=str(max(0, duration)), exitCode=str(code))
    container = store.container(container_id)
    if container is None:
        return ended
    if ended and container.spec.mounts and container.shim is not None:
        with store.write():
            add_mount_events(store, container, "unmount")
    _end_processes(instance, container)
    if container.spec.mounts:
        unmount_volumes(instance, container)
    operations.teardown(instance, container)
    if remove or container.spec.auto_remove:
        # An interrupted plain `rm` keeps the volumes; `rm -v` has set auto_remove on the record.
        plain = container.status is Status.REMOVING and not container.spec.auto_remove
        delete(instance, container, volumes=not plain)
    else:
        store.forget_processes(container_id)
    return ended


def delete(instance: Instance, container: Container, volumes: bool) -> bool:
    """Delete a stopped container's files, then its record; after a crash in between, the record leads to the files.

    With `volumes`, its anonymous volumes go too. Returns False when it was started again meanwhile, or is gone.
    """
    removable = (Status.CREATED, Status.EXITED, Status.REMOVING)
    store, container_id = instance.store, container.id
    if not with_reserve(instance.root, lambda: store.move_status(container_id, removable, Status.REMOVING)):
        return False
    if volumes and not container.spec.auto_remove:  # so that whoever finishes an interrupted removal knows
        store.set_spec(container.id, replace(container.spec, auto_remove=True))
    operations.heal_of_container(instance, container.id)
    remove_tree(instance.container_dir(container.id))
    with store.write():
        record_event(store, container.id, "destroy")
        store.delete_container(container.id)
        if volumes and any(mount.anonymous for mount in container.spec.mounts):
            detach_anonymous(instance, container)
    sweep_removed(instance)
    return True


def sweep_removed(instance: Instance) -> None:
    """Delete what an interrupted removal has moved to the directory for removed trees."""
    if (instance.root / "removed").exists():
        sweep(instance)


def record_event(store: Store, container_id: str, action: str, **attributes: str) -> None:
    """Record an event of a container, in Docker's words (`minirun events`); nothing when it is gone."""
    container = store.container(container_id)
    if container is not None:
        known = {**dict(container.spec.labels), "image": container.spec.image, "name": container.name}
        store.add_event("container", action, container_id, {**known, **attributes})


def tell(instance: Instance, container_id: str, action: str, **attributes: str) -> None:
    """Record an event in a transaction of its own. Where it can't (no space, locked for long), what it tells of has
    happened all the same."""
    try:
        with instance.store.write():
            record_event(instance.store, container_id, action, **attributes)
    except sqlite3.OperationalError:
        pass


def _end_processes(instance: Instance, container: Container) -> None:
    """Kill what a lost shim may have left in the cgroup (pid 1 dies with its shim), and remove the cgroup."""
    if container.init is not None:
        signal_process(container.init, signal.SIGKILL)
    paths = _groups(instance, container)
    for path in paths:
        if cgroups.cgroup_pids(path):
            cgroups.cgroup_kill(path)
    if paths and dict(container.spec.limits).get("memory"):
        _record_oom(instance, container, paths)
    controllers.remove(paths)


def _groups(instance: Instance, container: Container) -> list[Path]:
    """The container's cgroups. Without limits there is only the one in the v2 hierarchy."""
    path = cgroups.container_cgroup(instance.cgroup, container.id)
    if path is not None and not container.spec.limits:
        return [path] if path.exists() else []
    return controllers.existing(instance.cgroup, container.id)


def _record_oom(instance: Instance, container: Container, paths: list[Path]) -> None:
    """Record whether the OOM killer ended the container, before its cgroups, which know it, are removed."""
    if not container.oom_killed and oom_killed(paths):
        with instance.store.write():
            instance.store.set_values(container.id, oom_killed=1)
            record_event(instance.store, container.id, "oom")


def rename(instance: Instance, container: Container, name: str) -> None:
    """Give the container a new name, and pin a running one's network namespace under it.

    In order: pin under the new name, record it, unpin the old name. `second_pin` on record names the pin that is too
    many if this is killed in between; whoever ends the container removes that pin as well. ConflictError when the name
    is taken, MinirunError when it is the same or the container is being started.
    """
    store = instance.store
    if name == container.name:
        raise MinirunError("Renaming a container with the same name as its current name")
    store.check_name_free(name)
    if container.status in (Status.STARTING, Status.RESTARTING):
        raise MinirunError(f"container {container.name} is {container.status}: its namespace cannot be renamed now")
    is_pinned = bool(container.sandbox) and container.status is Status.RUNNING and container.init is not None
    if is_pinned and container.init is not None:
        operations.refuse_foreign_pin(name)
        store.set_values(container.id, second_pin=name)
        try:
            netns_attach(name, container.init.pid)
        except BaseException:
            store.set_values(container.id, second_pin="")  # missing, or not ours to remove
            raise
    with store.write():
        store.check_name_free(name)
        store.set_values(container.id, name=name, second_pin=container.name if is_pinned else "")
        record_event(store, container.id, "rename", oldName=f"/{container.name}")
    if is_pinned:
        netns_del(container.name)
        store.set_values(container.id, second_pin="")
