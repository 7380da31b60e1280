"""How a container ends, for whoever ends it: its monitor, the command that failed to start it, or the next command.

Everything here works from the record alone, and may run twice, also when another process is at it: they take turns,
and who comes second finds that nothing is left to do.
"""

import time
from dataclasses import replace
from pathlib import Path

from minirun.instance import Instance, alone
from minirun.kernel import cgroups, controllers, processes
from minirun.kernel.files import remove_tree
from minirun.model import Container, Process, Status
from minirun.network import operations
from minirun.store import Store
from minirun.store.activity import Run
from minirun.store.faults import with_reserve

KILLED = 137
_EXACT = 32  # 30 us each
MONITOR_LOST = "the monitor of this container was killed, and the container with it"


def finish(
    instance: Instance, container_id: str, monitor: Process | None, code: int, error: str = "", remove: bool = False
) -> None:
    """Record the end of the run that `monitor` was responsible for, and give back what the container held. `remove`
    (or --rm) takes the record and files, too."""
    with alone(instance, container_id):
        container = instance.store.container(container_id)
        if container is not None and is_same(container.monitor, monitor):
            with_reserve(instance.root, lambda: _finish(instance, container_id, code, error, remove))


def is_same(one: Process | None, other: Process | None) -> bool:
    return (one and (one.pid, one.started)) == (other and (other.pid, other.started))


def _finish(instance: Instance, container_id: str, code: int, error: str, remove: bool) -> None:
    store = instance.store
    with store.write():
        ended = store.set_exited(container_id, code, time.time(), error)
        if ended:
            tell(store, container_id, "die", exitCode=str(code))
    container = store.container(container_id)
    if container is None:
        return
    if ended and container.spec.mounts and container.monitor is not None:
        _tell_unmounts(store, container)
    _end_processes(instance, container)
    operations.teardown(instance, container)
    if remove or container.spec.auto_remove:
        # A plain `rm` that was cut short keeps the volumes; one with -v has made this a container with --rm.
        plain = container.status is Status.REMOVING and not container.spec.auto_remove
        delete(instance, container, volumes=not plain)
    else:
        store.forget_processes(container_id)


def delete(instance: Instance, container: Container, volumes: bool) -> bool:
    """Files, then record: a crash in between leaves the record, from which the files are removed again. `volumes`:
    those that had no name, too. False when it has been started again, or is gone."""
    removable = (Status.CREATED, Status.EXITED, Status.REMOVING)
    store, container_id = instance.store, container.id
    if not with_reserve(instance.root, lambda: store.move_status(container_id, removable, Status.REMOVING)):
        return False
    if volumes and not container.spec.auto_remove:  # whoever has to finish this knows what was wanted
        instance.store.set_spec(container.id, replace(container.spec, auto_remove=True))
    remove_tree(instance.container_dir(container.id))
    volumes = volumes and any(mount.anonymous for mount in container.spec.mounts)
    with instance.store.write():
        tell(instance.store, container.id, "destroy")
        instance.store.delete_container(container.id)
        if volumes:
            from minirun.volume.volumes import detach_anonymous

            detach_anonymous(instance, container)
    _sweep(instance)
    return True


def tell(store: Store, container_id: str, action: str, **attributes: str) -> None:
    """An event of a container, in Docker's words; of one that is gone there is nothing to tell."""
    container = store.container(container_id)
    if container is not None:
        known = {**dict(container.spec.labels), "image": container.spec.image, "name": container.name}
        store.add_event("container", action, container_id, {**known, **attributes})


def is_alive(process: Process | None) -> bool:
    return process is not None and processes.start_time(process.pid) == process.started


def is_tended(container: Container | Run) -> bool:
    """Whether somebody alive is responsible: the monitor, and while it is starting also the command.

    A start whose monitor was killed is the command's to take back: done by others meanwhile, it would still be making
    things, which then had no record.
    """
    return is_alive(container.monitor) or (container.status == Status.STARTING and is_alive(container.command))


def _tell_unmounts(store: Store, container: Container) -> None:
    from minirun.volume.volumes import tell_mounts

    with store.write():
        tell_mounts(store, container, "unmount")


def _sweep(instance: Instance) -> None:
    """What a removal has moved to the side, and a crash may have left there."""
    if (instance.root / "removed").exists():
        from minirun.volume.volumes import sweep

        sweep(instance)


def reconcile(instance: Instance, heals: bool = True) -> None:
    """Mend what a killed minirun, a killed monitor or a reboot left behind: the record is made true again. With
    `heals` also what somebody has damaged of the networks in use."""
    _sweep(instance)
    store, boot = instance.store, processes.boot_id()
    for one in _lost(store, boot):
        finish(instance, one.id, one.monitor, KILLED, MONITOR_LOST, one.status == Status.REMOVING)
    operations.reconcile(instance, repairs=heals)


def _lost(store: Store, boot: str) -> list[Run]:
    """Those that nobody is at who could be: a record of another boot is never believed.

    Of many that run only some are asked exactly, by turns, and of the others whether there is a process with that
    number: that number may be somebody else's by now, but seldom is.
    """
    running = store.running(boot)
    first = time.monotonic_ns() % len(running) if len(running) > _EXACT else 0
    asked = {one for one, _ in (running[first:] + running[:first])[:_EXACT]}
    asked |= {one for one, pid in running if pid is None or not processes.exists(pid)}
    suspects = [*store.unsettled(boot), *store.runs(asked)]
    return [one for one in suspects if one.boot != boot or not is_tended(one)]


def _end_processes(instance: Instance, container: Container) -> None:
    """pid 1 dies with its monitor already; this is for what a lost monitor may have left in the cgroup."""
    if container.init is not None:
        pidfd = processes.open_process(container.init.pid, container.init.started)
        if pidfd is not None:
            processes.signal_send(pidfd, 9, container.init.pid)
    paths = _groups(instance, container)
    for path in paths:
        if cgroups.cgroup_pids(path):
            cgroups.cgroup_kill(path)
    if paths and dict(container.spec.limits).get("memory"):
        _note_oom(instance, container, paths)
    controllers.remove(paths)


def _groups(instance: Instance, container: Container) -> list[Path]:
    """Where nothing is limited there is only the one in the v2 hierarchy, and no need to look for others."""
    path = cgroups.container_cgroup(instance.cgroup, container.id)
    if path is not None and not container.spec.limits:
        return [path] if path.exists() else []
    return controllers.existing(instance.cgroup, container.id)


def _note_oom(instance: Instance, container: Container, paths: list[Path]) -> None:
    """Asked before the groups go: nobody else knows."""
    from minirun.kernel.usage import oom_killed

    if not container.oom_killed and oom_killed(paths):
        with instance.store.write():
            instance.store.set_values(container.id, oom_killed=1)
            tell(instance.store, container.id, "oom")
