"""The story of a container's start, as the command tells it; the monitor tells its own half, lifecycle.py the end."""

import fcntl
import json
import os
import socket
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, replace

from minirun.engine.lifecycle import finish, tell
from minirun.engine.liveness import is_same
from minirun.engine.protocol import CHUNK, MANY, Kind, Parser, frame, send_sockets
from minirun.engine.start_plan import plan_of, resolve
from minirun.errors import FAILED, MinirunError, NotFoundError, describe
from minirun.image.records import is_there
from minirun.image.resolve import lower_of
from minirun.init.plan import Plan, packed
from minirun.instance import Instance, alone
from minirun.kernel import cgroups, processes
from minirun.kernel.sockets import send_with_fds
from minirun.model import DEFAULT_NETWORK, Container, Mode, PortMapping, Process, Spec, Status
from minirun.network import etc_files
from minirun.network.modes.none import refuse_foreign_pin
from minirun.network.modes.protocol import Wiring
from minirun.network.modes.registry import wiring_for
from minirun.network.ports import host_ports, publish


class Launch:
    """A monitor in waiting, and what it is told."""

    def __init__(self, pid: int, fd: int) -> None:
        self.process = Process(pid, processes.start_time(pid) or 0)
        self.command = Process(os.getpid(), processes.start_time(os.getpid()) or 0)
        self.channel = socket.socket(fileno=fd)
        self.fresh = False  # whether what it starts has been created with it

    def spare(self) -> "Launch":
        """One more monitor, forked from this one that is still waiting: small, where a fork of the command is not."""
        ours, theirs = socket.socketpair()
        send_with_fds(self.channel, frame(Kind.SPARE), [theirs.fileno()])
        theirs.close()
        pid = int.from_bytes(ours.recv(4), "big")
        return Launch(pid, ours.detach())

    def send(self, plan: Plan, held: list[socket.socket], flags: int) -> None:
        send_sockets(self.channel, held)
        self.channel.sendall(frame(Kind.PLAN, packed(plan)) + frame(Kind.ATTACH, bytes([flags])))

    def go(self) -> None:
        self.channel.sendall(frame(Kind.GO))

    def take_back(self, instance: Instance, container: Container, code: int, text: str) -> None:
        """When the monitor says that it has failed: that was before it was anybody's monitor, unless it has taken back
        all that was made."""
        self.channel.close()
        current = instance.store.container(container.id)
        if current is not None and current.status is Status.STARTING and is_same(current.monitor, self.process):
            pidfd = processes.open_process(self.process.pid, self.process.started)
            if pidfd is not None:
                processes.wait_gone(pidfd, None)
                os.close(pidfd)
            finish(instance, container.id, self.process, code, text, remove=self.fresh)

    def abandon(self) -> MinirunError | None:
        """Let the monitor take back its half, and wait until it has. What it had to say of a failure is returned."""
        self.channel.setblocking(True)
        self.channel.shutdown(socket.SHUT_WR)
        said: MinirunError | None = None
        parser = Parser()
        while data := _receive(self.channel):
            for kind, body in parser.feed(data):
                if kind is Kind.FAILED:
                    said = MinirunError(body[1:].decode("utf-8", "replace"), code=body[0])
        self.channel.close()
        try:
            os.waitpid(self.process.pid, 0)
        except ChildProcessError:
            pass
        return said


def _receive(channel: socket.socket) -> bytes:
    try:
        return channel.recv(CHUNK)
    except ConnectionError:
        return b""


@dataclass(frozen=True)
class Terms:
    """How a start is wanted by whoever asks for it: flags of ATTACH, and the size of a terminal as rows, columns."""

    flags: int = 0
    size: tuple[int, int] = (0, 0)


def create(instance: Instance, name: str, spec: Spec) -> Container:
    """Put a container on record, with its files. Nothing runs, no address or port is taken."""
    instance.store.refuse_taken_name(name)
    container = Container(os.urandom(32).hex(), name, resolve(instance, spec), time.time())
    _, lower = _validate(instance, container.spec)
    _check_pin(name, container.spec)
    with instance.store.write():
        container = _add(instance, container)
    try:
        _make_files(instance, container, lower)
    except BaseException as error:
        finish(instance, container.id, None, FAILED, describe(error), remove=True)
        raise
    return container


def run(instance: Instance, name: str, spec: Spec, launch: Launch, terms: Terms) -> Container:
    """Create and start a container, as one step: when any part fails, nothing of it is left."""
    instance.store.refuse_taken_name(name)
    container = Container(os.urandom(32).hex(), name, resolve(instance, spec), time.time())
    return _launch(instance, container, launch, terms, fresh=True)


def start(instance: Instance, container: Container, launch: Launch, terms: Terms) -> Container:
    """Start one that is stopped; when any part fails, it is stopped again."""
    if container.status is Status.EXITED and container.monitor is not None:
        from minirun.engine.stop import settle  # only when it has ended this very moment

        settle(instance, container)
    return _launch(instance, container, launch, terms, fresh=False)


def _launch(instance: Instance, container: Container, launch: Launch, terms: Terms, fresh: bool) -> Container:
    """On return GO is given: the monitor reports what becomes of it on the channel.

    When any step fails, everything is taken back: by the monitor for its half, then by the record for the rest.
    """
    wiring, lower = _validate(instance, container.spec)
    launch.fresh = fresh
    claimed, held = False, publish.Held()
    try:
        with alone(instance, container.id):
            container, held = _claim(instance, container, wiring, launch, fresh)
        claimed = True
        if not fresh:
            _wait_for_copies(instance, container)
        _make_files(instance, container, lower)
        etc_files.write_files(instance, container, instance.container_dir(container.id))
        netns = wiring.pin(instance, container)
        if cgroups.is_systemds():
            _ask_systemd(container, launch)
        plan = plan_of(instance, container, lower, netns, terms.size, fresh)
        if len(held.sockets) > MANY:
            plan = replace(plan, ulimits=(publish.make_room(launch.process.pid, len(held.sockets)), *plan.ulimits))
        with ExitStack() as sent:
            sockets_held = list(held.sockets)
            if connection := _resolver(instance, container):
                sockets_held.append(sent.enter_context(connection))
                plan = replace(plan, has_names=True)
            launch.send(plan, sockets_held, terms.flags)
        with ExitStack() as sockets:
            for note in wiring.connect(instance, container, sockets):
                print(note, file=sys.stderr)
        held.shut(instance.store)
        launch.go()
    except BaseException as error:
        said = launch.abandon()
        if claimed:
            finish(instance, container.id, launch.process, FAILED, describe(error), remove=fresh)
        if said is not None and isinstance(error, OSError):
            raise said from error  # the monitor failed first, and took away what this half was working on
        raise
    finally:
        held.close()  # the monitor has them now
    return container


def _ask_systemd(container: Container, launch: Launch) -> None:
    from minirun.engine.stop import patience_of
    from minirun.kernel.scopes import scope_add

    scope_add(container.id, container.name, launch.process.pid, patience_of(container, None))


def _resolver(instance: Instance, container: Container) -> socket.socket | None:
    """For the monitor to keep, when its sandbox is in a network that has names."""
    request = container.spec.network
    if request.mode is not Mode.CONTAINER and set(request.names) <= {DEFAULT_NETWORK}:
        return None
    from minirun.network.dns.server_control import reach
    from minirun.network.dns.veth import first_named, legs_of

    return reach(instance) if first_named(legs_of(instance, container.sandbox)) else None


def _validate(instance: Instance, spec: Spec) -> tuple[Wiring, str]:
    wiring = wiring_for(spec.network.mode)
    lower = lower_of(instance, spec)
    wiring.validate(instance, spec)
    return wiring, lower


def _check_pin(name: str, spec: Spec) -> None:
    if spec.network.mode is not Mode.HOST:
        refuse_foreign_pin(name)


def _claim(
    instance: Instance, container: Container, wiring: Wiring, launch: Launch, fresh: bool
) -> tuple[Container, publish.Held]:
    """Its ports, then all that the record has of a start."""
    if not fresh and not instance.store.is_startable(container.id):
        raise _taken(container)
    held = _hold_ports(instance, container, fresh) if container.spec.network.mode is Mode.BRIDGE else publish.Held()
    try:
        return _record(instance, container, tuple(held.mappings), wiring, launch, fresh), held
    except BaseException:
        held.close()
        raise


def _hold_ports(instance: Instance, container: Container, fresh: bool) -> publish.Held:
    if not container.spec.ports and not container.spec.publish_all:
        return publish.Held()
    from minirun.network.modes.bridge import everywhere

    wanted = host_ports.wanted(container.spec)
    wishes = None if fresh else host_ports.Wishes(instance.store.held(container.id), wanted)
    return publish.hold(instance.store, wanted, wishes, everywhere(instance, container.spec))


def _taken(container: Container) -> MinirunError:
    return MinirunError(f"container {container.name} is being started or removed by another command")


def _record(
    instance: Instance,
    container: Container,
    mappings: tuple[PortMapping, ...],
    wiring: Wiring,
    launch: Launch,
    fresh: bool,
) -> Container:
    """Intent before effect: name, leases and ports, in one transaction that all of them hold or none. What was asked
    for stays on record as it was; the container that is returned has the ports that it was given."""
    store = instance.store
    with store.write():
        if fresh:
            container = _add(instance, container)
        if mappings:
            container = replace(container, spec=replace(container.spec, ports=mappings))
        if not store.set_starting(container.id, launch.command, launch.process, processes.boot_id()):
            raise _taken(container)
        _check_pin(container.name, container.spec)  # what is there now is none of its own
        own = wiring.reserve(instance, container)
        store.set_values(container.id, sandbox=own)
        if mappings or not container.spec.auto_remove:
            store.set_values(container.id, held=json.dumps(_held(instance, container)))
        if container.spec.mounts:
            from minirun.volume.volumes import tell_mounts

            tell_mounts(store, container, "mount")
    return replace(container, sandbox=own, monitor=launch.process)


def _add(instance: Instance, container: Container) -> Container:
    """A new container on record, with the volumes that it names. Within a transaction: from here on it holds its image,
    which `rmi` asks for in one, too; and its ids, which nobody else is given."""
    if not is_there(instance.store, container.spec.image_id):
        raise NotFoundError(f"No such image: {container.spec.image}", "it has just been removed", FAILED)
    if container.spec.userns:
        from minirun.engine.id_ranges import choose

        container = replace(container, ids=choose(instance, container.spec))
    instance.store.add_container(container)
    tell(instance.store, container.id, "create")
    if container.spec.mounts:
        from minirun.volume.volumes import record_volumes

        record_volumes(instance.store, container)
    return container


def _held(instance: Instance, container: Container) -> dict[str, str]:
    """What this start has been given: the next one asks for the same again."""
    addresses = {end.network: str(end.address) for end in instance.store.endpoints(sandbox=container.id)}
    return addresses | host_ports.on_record(container.spec.ports)


def _wait_for_copies(instance: Instance, container: Container) -> None:
    """A `cp` into the stopped container has its tree mounted; one that comes later sees that it is being started."""
    fd = os.open(instance.container_dir(container.id), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    fcntl.flock(fd, fcntl.LOCK_SH)
    os.close(fd)


def _make_files(instance: Instance, container: Container, lower: str) -> None:
    directory = instance.container_dir(container.id)
    for place in (directory.parent, directory):
        place.mkdir(mode=0o700, exist_ok=True)
    for name in ("upper", "work", "rootfs"):
        (directory / name).mkdir(mode=0o755, exist_ok=True)
    if container.spec.mounts:
        from minirun.volume.mount_plan import prepare  # most containers have none

        prepare(instance, container, lower)
