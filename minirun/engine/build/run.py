"""RUN: a container on the snapshot before it, whose writable layer becomes the next one."""

import os
import select
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from minirun.engine.build.options import BuildOptions, StepReport
from minirun.engine.build.run_mounts import Mounts
from minirun.engine.diff import RUNTIME_PATHS
from minirun.engine.owners import guarded_owner
from minirun.engine.protocol import CHUNK, WANTS_OUTPUT, Kind, Parser
from minirun.engine.remove import remove
from minirun.engine.start import StartOptions, WaitingShim
from minirun.engine.start import run as run_container
from minirun.engine.stop import wait_for_cleanup
from minirun.errors import MinirunError
from minirun.image.build.snapshots import Snapshot, remove_stubs
from minirun.image.dockerfile.steps import RunStep
from minirun.instance import Instance
from minirun.model import Container, Logging, NetworkRequest, Process, Spec
from minirun.options.networks import parse_network

T = TypeVar("T")
_MODES = ("none", "host")
ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_MOMENT = 0.1  # seconds between two looks at a lock
_PAUSE = 0.5  # seconds: a signal that comes just before the wait begins does not end it


class BuildEndsError(Exception):
    """The build is ending, because another stage failed or the user has had enough."""


class RunFailedError(MinirunError):
    """The command of a RUN has ended with another code than 0."""

    def __init__(self, step: RunStep, exit_code: int) -> None:
        command = " ".join(step.argv)
        super().__init__(f'process "{command}" did not complete successfully: exit code: {exit_code}')
        self.command = command
        self.exit_code = exit_code


class Cancellation:
    """Ends the steps that are running, from another thread."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe2(os.O_CLOEXEC)
        self._event = threading.Event()

    def __enter__(self) -> "Cancellation":
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._read)
        os.close(self._write)

    def set(self) -> None:
        """End every step."""
        if not self._event.is_set():
            self._event.set()
            os.write(self._write, b"x")

    def check(self) -> None:
        """Raise BuildEndsError if the build is ending."""
        if self._event.is_set():
            raise BuildEndsError

    def pause(self) -> None:
        """Wait a moment. Raise BuildEndsError if the build is ending."""
        self._event.wait(_MOMENT)
        self.check()

    def wait_for(self, fd: int) -> None:
        """Wait until `fd` can be read. Raise BuildEndsError if the build is ending."""
        select.select([fd, self._read], [], [])
        self.check()


class Containers:
    """Starts and removes the containers of all stages, in the main thread: netlink sockets are for one thread.

    Each container gets a fork of the shim that waits, which the command had forked before it opened the records. It is
    removed when this process ends, however that is.
    """

    def __init__(self, instance: Instance, waiting: WaitingShim) -> None:
        self._instance = instance
        self._waiting = waiting
        self._owner: Process | None = None
        self._calls: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()

    def serve(self, stages: Sequence["Future[Any]"], cancellation: Cancellation) -> None:
        """Do in this thread what the stages ask for, until all have ended. When one fails, the others end.

        So they do at Ctrl-C, SIGTERM and SIGHUP: what is being done then is done to its end, so that the containers can
        be removed, and KeyboardInterrupt is raised afterwards. A second signal ends this process at once; the guard of
        its containers removes them then.
        """
        for stage in stages:
            stage.add_done_callback(lambda _: self._calls.put(None))
        interrupted = False

        def interrupt(number: int, _: object) -> None:
            nonlocal interrupted
            signal.signal(number, signal.SIG_DFL)
            interrupted = True
            cancellation.set()
            self._calls.put(None)

        with _handled(interrupt):
            while not all(stage.done() for stage in stages):
                self._serve_one(stages, cancellation)
        if interrupted:
            raise KeyboardInterrupt

    def _serve_one(self, stages: Sequence["Future[Any]"], cancellation: Cancellation) -> None:
        try:
            call = self._calls.get(timeout=_PAUSE)
        except Empty:
            return
        if call is None:
            if any(stage.done() and stage.exception() for stage in stages):
                cancellation.set()
            return
        result, function = call
        try:
            result.set_result(function())
        except Exception as error:  # noqa: BLE001 - it is raised in the thread that has asked
            result.set_exception(error)

    def _in_main_thread(self, function: Callable[[], T]) -> T:
        result: Future[T] = Future()
        self._calls.put((result, function))
        return result.result()

    def start(self, spec: Spec, secrets: Mapping[str, str]) -> tuple[Container, WaitingShim]:
        """Start a container with a name of its own, and with variables that nobody records. Return it, and its shim."""

        def start() -> tuple[Container, WaitingShim]:
            self._owner = self._owner or guarded_owner(self._instance, os.getpid())
            shim = self._waiting.fork_spare()
            name = f"build-{os.urandom(6).hex()}"
            options = StartOptions(WANTS_OUTPUT, owner=self._owner, secrets=tuple(secrets.items()))
            return run_container(self._instance, name, spec, shim, options), shim

        return self._in_main_thread(start)

    def undo_start(self, container: Container, shim: WaitingShim, body: bytes) -> MinirunError:
        """Undo a start that the shim could not finish. Return why, from its message."""
        text = body[1:].decode("utf-8", "replace")
        self._in_main_thread(lambda: shim.undo_start(self._instance, container, body[0], text))
        return MinirunError(text)

    def wait(self, container: Container) -> None:
        """Wait until everything of a container that has ended is unmounted and taken back."""
        self._in_main_thread(lambda: wait_for_cleanup(self._instance, container))

    def remove(self, container: Container) -> None:
        """Remove a container, whatever its state."""

        def remove_current() -> None:
            current = self._instance.store.container(container.id)
            if current is not None:
                remove(self._instance, current, force=True)

        self._in_main_thread(remove_current)


@contextmanager
def _handled(handler: Callable[..., None]) -> Iterator[None]:
    """Have the signals that end a command call `handler`, unless the caller ignores them."""
    before = {number: signal.getsignal(number) for number in ENDING_SIGNALS}
    for number in ENDING_SIGNALS:
        if before[number] is not signal.SIG_IGN:
            signal.signal(number, handler)
    try:
        yield
    finally:
        for number in ENDING_SIGNALS:
            signal.signal(number, before[number])


@contextmanager
def executed(
    instance: Instance,
    containers: Containers,
    base: Snapshot,
    step: RunStep,
    mounts: Mounts,
    options: BuildOptions,
    report: StepReport,
    cancellation: Cancellation,
) -> Iterator[Path]:
    """Run the command of a step to its end, and yield the directory with what it has written.

    MinirunError when it does not end with 0. The container is removed after the block, and whenever the build ends.
    """
    container, shim = containers.start(_spec(base, step, mounts, options), mounts.secrets)
    try:
        failure = _follow(shim, step, mounts, report, cancellation)
        if failure:
            raise containers.undo_start(container, shim, failure)
        containers.wait(container)
        upper = instance.container_dir(container.id) / "upper"
        targets = [*RUNTIME_PATHS, *(mount.target for mount in mounts.mounts)]
        remove_stubs(upper, base, instance.root, targets)
        yield upper
    finally:
        containers.remove(container)


def _follow(shim: WaitingShim, step: RunStep, mounts: Mounts, report: StepReport, cancellation: Cancellation) -> bytes:
    """Pass on the output until the command has ended. Return the shim's message if it could not be started.

    MinirunError when it does not end with 0.
    """
    parser = Parser()
    while True:
        cancellation.wait_for(shim.channel.fileno())
        try:
            data = shim.channel.recv(CHUNK)
        except ConnectionError:
            data = b""
        if not data:
            raise MinirunError("the process that watches over the container was killed")
        for kind, body in parser.feed(data):
            if kind in (Kind.OUT, Kind.ERR):
                report.output(body, "stdout" if kind is Kind.OUT else "stderr")
            elif kind is Kind.STARTED:
                mounts.forget_secrets()
            elif kind is Kind.FAILED:
                return body
            elif kind is Kind.EXITED:
                if body[0]:
                    raise RunFailedError(step, body[0])
                return b""


def _spec(base: Snapshot, step: RunStep, mounts: Mounts, options: BuildOptions) -> Spec:
    if base.image is None:
        raise MinirunError("there is nothing to run: the file system of scratch is empty", "COPY a program first")
    if not step.argv:
        raise MinirunError("RUN has no command")
    return Spec(
        image=f"sha256:{base.image.id}",
        image_id=base.image.id,
        argv=step.argv,
        env=tuple({**dict(step.environment), **dict(step.proxies), **mounts.environment}.items()),
        workdir=step.workdir,
        user=step.user,
        network=network_of(step, options),
        mounts=tuple(mounts.mounts),
        extra_hosts=options.extra_hosts,
        shm_size=options.shm_size,
        ulimits=options.ulimits,
        limits=options.limits,
        logging=Logging("none"),
    )


def network_of(step: RunStep, options: BuildOptions) -> NetworkRequest:
    """Return the network of a RUN. MinirunError for the host's, unless the caller allows it."""
    if step.network not in _MODES:
        return options.network
    if step.network == "host" and not options.allows_host_network:
        raise MinirunError("network.host is not allowed", "minirun build --allow network.host")
    return parse_network([step.network])
