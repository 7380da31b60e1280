"""The start of a container, as the command carries it out. The shim does its own part; lifecycle.py has the end."""

import fcntl
import os
import socket
import sys
import time
from dataclasses import dataclass, replace

from minirun.engine.id_ranges import choose_range
from minirun.engine.lifecycle import delete, finish_run, record_event
from minirun.engine.liveness import is_same
from minirun.engine.protocol import CHUNK, Kind, Parser, frame, send_sockets
from minirun.engine.start_plan import make_plan, resolve_references
from minirun.engine.stop import after_ends, stop_timeout, wait_for_cleanup
from minirun.engine.waiting_clients import pass_to_shim
from minirun.errors import FAILED, MinirunError, NotFoundError, describe
from minirun.image.layers import images_of
from minirun.image.records import is_there
from minirun.image.resolve import lower_of
from minirun.init.plan import Plan, pack
from minirun.instance import Instance, lock_container
from minirun.kernel import cgroups, processes
from minirun.kernel.scopes import scope_add
from minirun.kernel.sockets import send_with_fds
from minirun.model import ACTIVE, Container, Process, Spec, Status
from minirun.network import operations
from minirun.store import Store
from minirun.volume.mount_plan import prepare
from minirun.volume.volumes import add_mount_events, record_volumes


class AlreadyStartedError(MinirunError):
    """Another command has begun to start the container."""


class WaitingShim:
    """A shim that waits for its plan, and the channel to it."""

    def __init__(self, pid: int, fd: int) -> None:
        self.process = Process(pid, processes.start_time(pid) or 0)
        self.command = Process(os.getpid(), processes.start_time(os.getpid()) or 0)
        self.channel = socket.socket(fileno=fd)
        self.fresh = False  # whether the container is created by this start

    def fork_spare(self) -> "WaitingShim":
        """Fork one more shim from this one, which still waits: it is small, a fork of the command is not."""
        ours, theirs = socket.socketpair()
        send_with_fds(self.channel, frame(Kind.SPARE), [theirs.fileno()])
        theirs.close()
        pid = int.from_bytes(ours.recv(4), "big")
        return WaitingShim(pid, ours.detach())

    def send(self, plan: Plan, held: list[socket.socket], flags: int) -> None:
        """Send the plan and the sockets that the shim keeps, and attach with `flags` (engine/protocol.py)."""
        send_sockets(self.channel, held)
        self.channel.sendall(frame(Kind.PLAN, pack(plan)) + frame(Kind.ATTACH, bytes([flags])))

    def go(self) -> None:
        """Let the program start."""
        self.channel.sendall(frame(Kind.GO))

    def undo_start(self, instance: Instance, container: Container, code: int, text: str) -> None:
        """Undo the start when the shim has reported a failure, unless the shim has undone it itself."""
        self.channel.close()
        current = instance.store.container(container.id)
        if current is not None and current.status is Status.STARTING and is_same(current.shim, self.process):
            self._wait_gone()
            finish_run(instance, container.id, self.process, code, text, remove=self.fresh)

    def undo(self) -> MinirunError | None:
        """Let the shim undo its part, and wait until it has. Return the failure that it reported, if any."""
        self.channel.setblocking(True)
        self.channel.shutdown(socket.SHUT_WR)
        failure: MinirunError | None = None
        parser = Parser()
        while data := _receive(self.channel):
            for kind, body in parser.feed(data):
                if kind is Kind.FAILED:
                    failure = MinirunError(body[1:].decode("utf-8", "replace"), code=body[0])
        self.channel.close()
        self._wait_gone()
        return failure

    def _wait_gone(self) -> None:
        pidfd = processes.open_process(self.process.pid, self.process.started)
        if pidfd is not None:
            processes.wait_gone(pidfd, None)
            os.close(pidfd)


def _receive(channel: socket.socket) -> bytes:
    try:
        return channel.recv(CHUNK)
    except ConnectionError:
        return b""


@dataclass(frozen=True)
class StartOptions:
    """How the caller wants the start: flags of ATTACH, and the size of a terminal as rows, columns.

    owner: the process with which a new container ends
    secrets: environment variables that nobody records
    """

    flags: int = 0
    size: tuple[int, int] = (0, 0)
    owner: Process | None = None
    secrets: tuple[tuple[str, str], ...] = ()


def create(instance: Instance, name: str, spec: Spec, owner: Process | None = None) -> Container:
    """Create a container: its record and its files. Nothing runs, and no address or port is allocated."""
    after_ends(instance, lambda: instance.store.check_name_free(name))
    container = Container(os.urandom(32).hex(), name, resolve_references(instance, spec), time.time())
    _, lower = _validate(instance, container.spec)
    operations.check_pin(name, container.spec)
    with instance.store.write():
        container = _add(instance, container, owner)
    try:
        _make_files(instance, container, lower)
    except BaseException as error:
        finish_run(instance, container.id, None, FAILED, describe(error), remove=True)
        raise
    return container


def run(instance: Instance, name: str, spec: Spec, launch: WaitingShim, terms: StartOptions) -> Container:
    """Create and start a container as one step: when any part fails, nothing of it is left."""
    after_ends(instance, lambda: instance.store.check_name_free(name))
    container = Container(os.urandom(32).hex(), name, resolve_references(instance, spec), time.time())
    return _launch(instance, container, launch, terms, fresh=True)


def start(instance: Instance, container: Container, launch: WaitingShim, terms: StartOptions) -> Container:
    """Start a stopped container; when any part fails, it is stopped again, and with --rm removed."""
    if container.status is Status.EXITED and container.shim is not None:
        wait_for_cleanup(instance, container)  # its last run has only just ended
    try:
        return _launch(instance, container, launch, terms, fresh=False)
    except AlreadyStartedError:
        raise
    except BaseException:
        if container.spec.auto_remove:  # whoever has started it waits for that
            delete(instance, container, volumes=True)
        raise


def _launch(
    instance: Instance, container: Container, launch: WaitingShim, terms: StartOptions, fresh: bool
) -> Container:
    """Start the container. On return the shim has GO, and reports on the channel what happens.

    When any step fails, everything is undone: by the shim for its part, then from the record for the rest.
    """
    network, lower = _validate(instance, container.spec)
    launch.fresh = fresh
    is_recorded = False
    with network:
        try:
            with lock_container(instance, container.id):
                container = _record(instance, container, network, launch, fresh, terms)
            is_recorded = True
            if not fresh:
                _wait_for_copies(instance, container)
            _make_files(instance, container, lower)
            netns = network.pin(container)
            if cgroups.is_systemds():
                scope_add(container.id, container.name, launch.process.pid, stop_timeout(container, None))
            plan = make_plan(instance, container, lower, netns, terms.size, fresh)
            kept = network.for_shim(container, launch.process.pid)
            env = (*plan.env, *terms.secrets)
            plan = replace(plan, env=env, has_names=kept.has_names, ulimits=(*kept.ulimits, *plan.ulimits))
            if not fresh:
                pass_to_shim(instance.container_dir(container.id), launch.channel)
            launch.send(plan, kept.sockets, terms.flags)
            for note in network.attach(container):
                print(note, file=sys.stderr)
            launch.go()
        except BaseException as error:
            failure = launch.undo()
            if is_recorded:
                finish_run(instance, container.id, launch.process, FAILED, describe(error), remove=fresh)
            if failure is not None and isinstance(error, OSError):
                raise failure from error  # the shim failed first, and removed what this part was working on
            raise
    return container


def _validate(instance: Instance, spec: Spec) -> tuple[operations.Setup, str]:
    lower = lower_of(instance, spec)
    return operations.setup(instance, spec), lower


def _record(
    instance: Instance,
    container: Container,
    network: operations.Setup,
    launch: WaitingShim,
    fresh: bool,
    terms: StartOptions,
) -> Container:
    """Record the start before anything is changed: its name, addresses and ports, in one transaction.

    The spec stays on record as it was requested; the container that is returned has the ports that it was given.
    """
    store = instance.store
    if not fresh and not store.is_startable(container.id):
        raise _taken(store, container)

    def write() -> Container:
        with store.write():
            starting = _add(instance, container, terms.owner) if fresh else container
            if not store.set_starting(container.id, launch.command, launch.process, processes.boot_id()):
                raise _taken(store, container)
            if terms.flags:
                record_event(store, container.id, "attach")
            starting = network.allocate(starting)
            if starting.spec.mounts:
                add_mount_events(store, starting, "mount")
            return starting

    after_ends(instance, lambda: network.reserve_ports(container, fresh), container.id)
    return replace(after_ends(instance, write, container.id), shim=launch.process)


def _taken(store: Store, container: Container) -> MinirunError:
    current = store.container(container.id)
    kind = AlreadyStartedError if current is not None and current.status in ACTIVE else MinirunError
    return kind(f"container {container.name} is being started or removed by another command")


def _add(instance: Instance, container: Container, owner: Process | None) -> Container:
    """Record a new container and the volumes that it names, within a transaction.

    From then on its image cannot be removed, which `rmi` checks in a transaction, too; and its user namespace's ids are
    given to nobody else.
    """
    for image_id, reference in images_of(container.spec).items():
        if not is_there(instance.store, image_id):
            raise NotFoundError(f"No such image: {reference}", "it has just been removed", FAILED)
    if container.spec.userns:
        container = replace(container, ids=choose_range(instance, container.spec))
    instance.store.add_container(container)
    if owner is not None:
        instance.store.set_owner("container", container.id, owner)
    record_event(instance.store, container.id, "create")
    if container.spec.mounts:
        record_volumes(instance.store, container)
    return container


def _wait_for_copies(instance: Instance, container: Container) -> None:
    """Wait for `cp` into the stopped container, which has its tree mounted. A later one sees that it is starting."""
    fd = os.open(instance.container_dir(container.id), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    fcntl.flock(fd, fcntl.LOCK_SH)
    os.close(fd)


def _make_files(instance: Instance, container: Container, lower: str) -> None:
    directory = instance.container_dir(container.id)
    for path in (directory.parent, directory):
        path.mkdir(mode=0o700, exist_ok=True)
    for name in ("upper", "work", "rootfs"):
        (directory / name).mkdir(mode=0o755, exist_ok=True)
    if container.spec.mounts:
        prepare(instance, container, lower)
