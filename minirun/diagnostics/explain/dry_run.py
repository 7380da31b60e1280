"""`minirun explain`: run a command in a throwaway copy of this host, up to the point where the image's program would
start.

The copy has the host's records and images. Containers that run on the host are started again in the copy first, without
their programs. So `explain stop web` shows how web is stopped, while the real web keeps running.
"""

import os
import signal
import sqlite3
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias

from minirun.diagnostics.explain.recorder import RECORDER
from minirun.instance import Instance
from minirun.kernel import processes, seam, throwaway
from minirun.kernel.mounts import NODEV, bind_mount, filesystem_mount
from minirun.kernel.tree_root import Root
from minirun.model import Container, Status

# Runs one command line (the words after `minirun`) as if it were typed, and returns its exit code. It may also leave
# by os._exit or SystemExit: it has a process of its own.
RunCommand: TypeAlias = Callable[[list[str]], int]

_MAX_UNNAMED = 10  # start at most so many containers that the command does not name: each takes a tenth of a second
_STOP_SIGNALS = {signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP}


class NoProgram(seam.Watcher):
    """Keeps programs of images from starting: ends the process instead. With `waits`, the container's first process
    waits for a signal before it ends, as a running program would."""

    def __init__(self, waits: bool) -> None:
        self.waits = waits

    def before(self, operation: seam.Operation) -> None:
        """End the process where it would call execve."""
        if operation.name != "exec_payload":
            return
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))
        if self.waits and seam.role() == "first process":
            signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)
            signal.sigwait(_STOP_SIGNALS)
        os._exit(0)


def dry_run(instance: Instance, run_command: RunCommand, words: list[str], form: str, detached: bool) -> int:
    """Run a command line in a throwaway copy of this host and print its operations to standard output.

    `run_command` runs a command line, `words` is the line without `minirun`, `form` is one of render.FORMS. `detached`
    says that the command does not wait for the program to end (everything but a `run` in the foreground). What the
    command itself prints goes to standard error. Returns the command's exit code.
    """
    records, root = _copy_records(instance.root), instance.root
    names = _containers_to_start(instance, words)
    instance.store.close()

    def in_copy() -> int:
        _mount_state_root(root, records)
        RECORDER.start()  # before the other containers' shims are made: they help to stop their containers
        for name in names:
            start = ["--root", str(root), "start", name]
            if _run_in_child(run_command, start, waits=True, quiet=True):
                print(f"minirun: cannot start running container {name} in the copy of this host", file=sys.stderr)
        RECORDER.forget()
        command = [f"--explain={form}", "--root", str(root), *words]
        return _run_in_child(run_command, command, waits=detached, quiet=False)

    return throwaway.host_live(f"minirun-explain-{os.getpid()}", in_copy)


def _copy_records(root: Path) -> bytes:
    """Return the current state database, without `--rm` on containers that run: the copy starts them again."""
    copy = sqlite3.connect(":memory:")
    with sqlite3.connect(root / "state.db") as current:
        current.backup(copy)
    copy.execute("update containers set spec = json_remove(spec, '$.auto_remove') where status != 'exited'")
    copy.commit()
    return copy.serialize()


def _containers_to_start(instance: Instance, words: list[str]) -> list[str]:
    """Return the names of running containers in start order; if there are many, only those that the command names."""
    running = [container for container in instance.store.containers() if container.status is Status.RUNNING]
    running.sort(key=lambda container: container.started_at)
    if len(running) > _MAX_UNNAMED:
        running = [container for container in running if _is_named(container, words)]
    return [container.name for container in running]


def _is_named(container: Container, words: list[str]) -> bool:
    return any(word and (container.id.startswith(word) or container.name in word.split(":")) for word in words)


def _mount_state_root(root: Path, records: bytes) -> None:
    """Cover the state root with one in memory that has the given records and the same images."""
    current = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    top = Root("/")
    filesystem_mount(top, str(root), os.dup(current), "tmpfs", "mode=700", NODEV)
    (root / "state.db").write_bytes(records)
    (root / "state.db").chmod(0o600)
    covered, copy = f"/proc/self/fd/{current}", Root(str(root))
    for name in ("layers", "cache", "containers", "volumes"):
        (root / name).mkdir(mode=0o700)
    for name in _entries(f"{covered}/containers"):
        (root / "containers" / name).mkdir(mode=0o700)
    for name in _entries(f"{covered}/layers"):  # one by one: commands may add layers beside them
        (root / "layers" / name).mkdir()
        bind_mount(copy, f"{covered}/layers/{name}", f"layers/{name}", copy.open(f"layers/{name}"), 0)
    if os.path.isdir(f"{covered}/cache"):
        bind_mount(copy, f"{covered}/cache", "cache", copy.open("cache"), 0)
    for fd in (current, copy.fd, top.fd):
        os.close(fd)


def _entries(directory: str) -> list[str]:
    return os.listdir(directory) if os.path.isdir(directory) else []


def _run_in_child(run_command: RunCommand, words: list[str], waits: bool, quiet: bool) -> int:
    def child() -> int:
        seam.watch(NoProgram(waits))
        if quiet:
            null = os.open("/dev/null", os.O_RDWR)
            for fd in (0, 1, 2):
                os.dup2(null, fd)
        else:  # standard output is for the operations; the command's own output goes to standard error
            RECORDER.out = os.dup(1)
            os.dup2(2, 1)
        with suppress(SystemExit):
            return run_command(words)
        return 0

    pid = processes.fork(child, lambda error: print(error, file=sys.stderr))
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
