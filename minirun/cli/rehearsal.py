"""Starts of a container, without its processes: what the fork server does before the commands for which it is there.

A process that is forked from it afterwards is faster (docs/benchmarks.md): Python has specialized the code (PEP 659),
and pyroute2 has the tables of its messages, which it makes when they are first used. All takes place in namespaces of
its own, and with a state root that ends with them.
"""

import gc
import hashlib
import io
import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

from minirun.archive.layer_content import LayerDigest
from minirun.cli.main import run
from minirun.engine.lifecycle import finish_run
from minirun.engine.protocol import CHUNK, MOST_FDS, Kind, Parser, frame
from minirun.forkserver.ahead import ForkedAhead
from minirun.image.create import NewImage, add_image
from minirun.image.document import Config
from minirun.init import prepared
from minirun.init.plan import Plan, unpack
from minirun.instance import DEFAULT_ROOT, Instance
from minirun.kernel.sockets import receive_with_fds
from minirun.kernel.throwaway import OwnNamespaces
from minirun.model import Process

_HIDDEN = ("run", "var/lib")
_IMAGE = "rehearsal:latest"
_EMPTY_LAYER = LayerDigest(hashlib.sha256(bytes(1024)).hexdigest(), 1024)
_TIMES = 12  # Python specializes a function after eight calls
_PATIENCE = 2.0  # seconds for a part
_ROOT = ["--root", str(DEFAULT_ROOT)]  # whatever MINIRUN_ROOT says: here it is empty
_RUN = [*_ROOT, "run", "--pull=never"]
_STARTS = (
    [*_RUN, "--rm", "-p", "8080:80", _IMAGE, "true"],
    [*_RUN, "--rm", "--net=none", _IMAGE, "true"],
    [*_RUN, "--rm", "--net=host", _IMAGE, "true"],
)
_LOOKS = ([*_ROOT, "ps"], [*_ROOT, "network", "ls"], [*_ROOT, "inspect", "web"])


class Rehearsal:
    """All of it, in parts that take 5 to 80 ms."""

    def __init__(self) -> None:
        self._namespaces: OwnNamespaces | None = None
        self._parts = self._all_parts()

    def go_on(self) -> bool:
        """Play the next part. Returns whether there is another. What fails ends it: the commands then take longer.

        The caller must be single-threaded.
        """
        try:
            if self._namespaces is None:
                self._namespaces = OwnNamespaces(_HIDDEN)
            with _as_before(), self._namespaces.entered(), _time_limit():
                next(self._parts)
            return True
        except Exception:  # noqa: BLE001 - StopIteration, too
            if self._namespaces is not None:
                self._namespaces.close()
            return False

    def _all_parts(self) -> Iterator[None]:
        Path("/run/minirun").mkdir()
        add_image(Instance(DEFAULT_ROOT), lambda _: _EMPTY_LAYER, NewImage(Config()), _IMAGE)
        _start([*_RUN, "--name", "web", _IMAGE, "true"], stays=True)
        for _ in range(_TIMES):
            for words in _STARTS:
                yield
                _start(words)
            for words in _LOOKS:
                run(words)


def _start(words: list[str], stays: bool = False) -> None:
    """Run a command line that starts a container. Its shim says at once that the program has run."""
    near, far = socket.socketpair()
    far.sendall(frame(Kind.STARTED) + frame(Kind.EXITED, b"\0"))
    far.shutdown(socket.SHUT_WR)
    with far:
        prepared.offer(ForkedAhead(os.getpid(), near.detach(), lambda: None))
        try:
            if run(words):
                raise RuntimeError(words)
        finally:
            prepared.decline()
        sent = _received(far)[1:]  # behind the role that it was claimed for
    plan = next(unpack(Plan, body) for kind, body in Parser().feed(sent) if kind is Kind.PLAN)
    instance = Instance(DEFAULT_ROOT)
    container = instance.store.container(plan.container)
    assert container is not None
    instance.store.set_running(container.id, Process(os.getpid(), 1), 1.0)  # no process has started then
    if not stays:
        finish_run(instance, container.id, container.shim, 0)


def _received(channel: socket.socket) -> bytes:
    """All that was sent; the files that came with it are closed."""
    parts: list[bytes] = []
    while True:
        data, fds = receive_with_fds(channel, CHUNK, MOST_FDS)
        for fd in fds:
            os.close(fd)
        if not data:
            return b"".join(parts)
        parts.append(data)


@contextmanager
def _as_before() -> Iterator[None]:
    """Give back afterwards what a command line leaves to the end of its process."""
    handlers = {number: signal.getsignal(number) for number in signal.valid_signals()}
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGCHLD})
    wakeup = signal.set_wakeup_fd(-1)
    opened = _open_files()
    try:
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            yield
    finally:
        for number, handler in handlers.items():
            if signal.getsignal(number) is not handler:
                signal.signal(number, handler)
        gc.collect()  # what has gone round in circles still has files open
        for fd in _open_files() - opened:
            os.close(fd)
        _forget_host()
        signal.set_wakeup_fd(wakeup)
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


@contextmanager
def _time_limit() -> Iterator[None]:
    """TimeoutError if the block takes too long. Not outside of it: the way back must not be interrupted."""

    def stop(*_: object) -> None:
        raise TimeoutError

    signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, _PATIENCE)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _forget_host() -> None:
    """Clear the caches of kernel/: they hold what is there, such as the place of cgroups. Callers have their own."""
    modules = [module for name, module in sys.modules.items() if name.startswith("minirun.kernel.")]
    for value in [value for module in modules for value in vars(module).values()]:
        if hasattr(value, "cache_clear"):
            value.cache_clear()


def _open_files() -> set[int]:
    numbers = map(int, os.listdir("/proc/self/fd"))
    return {number for number in numbers if Path(f"/proc/self/fd/{number}").is_symlink()}  # not that of the listing
