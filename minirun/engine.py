"""The story of a container's start, as the command tells it; the monitor tells its own half, lifecycle.py the end."""

import os
import socket
import sys
import time
from contextlib import ExitStack
from dataclasses import replace

from minirun import etc
from minirun.errors import FAILED, MinirunError
from minirun.image.store import image_layers
from minirun.instance import Instance
from minirun.kernel import cgroups, processes
from minirun.kernel.sockets import send_with_fds
from minirun.lifecycle import finish
from minirun.model import Container, Mode, Process, Spec
from minirun.network import ports
from minirun.network.driver import Driver
from minirun.network.modes import driver_for
from minirun.network.none import refuse_foreign_pin
from minirun.plan import Plan
from minirun.wire import CHUNK, MOST_FDS, Kind, Parser, frame


class Launch:
    """A monitor in waiting, and what it is told."""

    def __init__(self, pid: int, fd: int) -> None:
        self.process = Process(pid, processes.start_time(pid) or 0)
        self.command = Process(os.getpid(), processes.start_time(os.getpid()) or 0)
        self.channel = socket.socket(fileno=fd)

    def send(self, plan: Plan, held: list[socket.socket]) -> None:
        fds = [holder.fileno() for holder in held]
        for start in range(0, len(fds), MOST_FDS):
            send_with_fds(self.channel, frame(Kind.FDS), fds[start : start + MOST_FDS])
        self.channel.sendall(frame(Kind.PLAN, plan.dump()))
        for holder in held:  # the monitor has them now
            holder.close()

    def go(self) -> None:
        self.channel.sendall(frame(Kind.GO))

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


def run(instance: Instance, name: str, spec: Spec, launch: Launch, size: tuple[int, int] = (0, 0)) -> Container:
    """Create and start a container. On return GO is given: the monitor reports what becomes of it on the channel.

    When any step fails, everything is taken back: by the monitor for its half, then by the record for the rest.
    """
    instance.store.refuse_taken_name(name)
    driver = driver_for(spec.network.mode)
    lower = image_layers(instance, spec.image)
    driver.validate(instance, spec)
    if spec.network.mode is not Mode.HOST:
        refuse_foreign_pin(name)
    mappings, held = ports.hold(instance.store, spec.ports if spec.network.mode is Mode.BRIDGE else ())
    if mappings:
        spec = replace(spec, ports=mappings)
    container = Container(os.urandom(32).hex(), name, spec, time.time())
    try:
        container = _record(instance, container, driver, launch)
        _make_files(instance, container)
        netns = driver.pin(instance, container)
        launch.send(_plan(instance, container, lower, netns, size), held)
        with ExitStack() as sockets:
            for note in driver.connect(instance, container, sockets):
                print(note, file=sys.stderr)
        launch.go()
    except BaseException as error:
        said = launch.abandon()
        finish(instance, container.id, FAILED, remove=True)
        if said is not None and isinstance(error, OSError):
            raise said from error  # the monitor failed first, and took away what this half was working on
        raise
    return container


def _record(instance: Instance, container: Container, driver: Driver, launch: Launch) -> Container:
    """Intent before effect: name, leases and ports, in one transaction that all of them hold or none."""
    store = instance.store
    with store.write():
        store.add_container(container)
        sandbox = driver.reserve(instance, container)
        store.set_starting(container.id, launch.command, launch.process, sandbox, processes.boot_id())
    return replace(container, sandbox=sandbox, monitor=launch.process)


def _make_files(instance: Instance, container: Container) -> None:
    directory = instance.container_dir(container.id)
    directory.parent.mkdir(mode=0o700, exist_ok=True)
    for name in ("", "upper", "work", "rootfs"):
        (directory / name).mkdir(mode=0o755)
    etc.write_files(instance, container, directory)
    for volume in container.spec.volumes:
        if not os.path.lexists(volume.source):
            os.makedirs(volume.source)  # as docker -v does


def _plan(instance: Instance, container: Container, lower: str, netns: str, size: tuple[int, int]) -> Plan:
    spec = container.spec
    return Plan(
        root=str(instance.root),
        container=container.id,
        lower=lower,
        netns=netns,
        cgroup=str(cgroups.container_cgroup(instance.cgroup, container.id) or ""),
        argv=spec.argv,
        env=spec.env,
        workdir=spec.workdir,
        user=spec.user,
        hostname=etc.hostname_of(instance, container),
        tty=spec.tty,
        interactive=spec.interactive,
        init=spec.init,
        detach=spec.detach,
        volumes=tuple((volume.source, volume.target, volume.read_only) for volume in spec.volumes),
        rows=size[0],
        columns=size[1],
    )
