"""`minirun explain`: a command is done for real, in a throwaway copy of this host, up to the point where a program of
the image would begin to run.

The copy has the records and images of this host. Containers that run here run there, too: started anew beforehand, with
nothing in them. So `explain stop web` shows how this web is stopped, and this web goes on.
"""

import os
import signal
import sqlite3
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from minirun.cli.verbs import canonical, split
from minirun.diagnostics.explain.recorder import RECORDER
from minirun.instance import Instance
from minirun.kernel import processes, seam, throwaway
from minirun.kernel.mounts import NODEV, Root, bind_mount, filesystem_mount
from minirun.model import Container, Status

_MOST = 10  # containers that are started beforehand without having been named: a tenth of a second each


class Rehearser(seam.Watcher):
    """Where a process would become the program, it ends; or, if `stays`, waits until somebody ends it."""

    def __init__(self, stays: bool) -> None:
        self.stays = stays

    def before(self, operation: seam.Operation) -> None:
        if operation.name != "exec_payload":
            return
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))
        if self.stays and seam.role() == "first process":
            signal.pthread_sigmask(signal.SIG_BLOCK, _ENDS)
            signal.sigwait(_ENDS)
        os._exit(0)


_ENDS = {signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP}


def rehearse(instance: Instance, words: list[str], form: str) -> int:
    """The exit code of the command. What it does is told on standard output, what it says itself on standard error."""
    records, root = _records(instance.root), instance.root
    needed = _needed(instance, words)
    instance.store.close()
    return throwaway.host_live(f"minirun-explain-{os.getpid()}", lambda: _live(root, records, needed, words, form))


def _records(root: Path) -> bytes:
    """The state database as it is now, except that nothing is gone when it ends: what runs is started again there."""
    copy = sqlite3.connect(":memory:")
    with sqlite3.connect(root / "state.db") as current:
        current.backup(copy)
    copy.execute("update containers set spec = json_remove(spec, '$.auto_remove') where status != 'exited'")
    copy.commit()
    return copy.serialize()


def _needed(instance: Instance, words: list[str]) -> list[str]:
    """Those that run, in the order in which they were started; of many only those that the words name."""
    running = [one for one in instance.store.containers() if one.status is Status.RUNNING]
    running.sort(key=lambda one: one.started_at)
    if len(running) > _MOST:
        running = [one for one in running if _is_named(one, words)]
    return [one.name for one in running]


def _is_named(container: Container, words: list[str]) -> bool:
    return any(word and (container.id.startswith(word) or container.name in word.split(":")) for word in words)


def _live(root: Path, records: bytes, needed: list[str], words: list[str], form: str) -> int:
    _lay_root(root, records)
    RECORDER.start()  # before the monitors of others are made: they have a part in how their containers end
    for name in needed:
        if _run(["--root", str(root), "start", name], stays=True, quiet=True):
            print(f"minirun: {name} runs here, and could not be started in the copy of this host", file=sys.stderr)
    RECORDER.forget()
    return _run([f"--explain={form}", "--root", str(root), *words], _stays(words), quiet=False)


def _lay_root(root: Path, records: bytes) -> None:
    """A state root in memory, over the one that is there, with the same images."""
    current = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    top = Root("/")
    filesystem_mount(top, str(root), os.dup(current), "tmpfs", "mode=700", NODEV)
    (root / "state.db").write_bytes(records)
    (root / "state.db").chmod(0o600)
    there, place = f"/proc/self/fd/{current}", Root(str(root))
    for name in ("layers", "cache", "containers", "volumes"):
        (root / name).mkdir(mode=0o700)
    for name in _entries(f"{there}/containers"):
        (root / "containers" / name).mkdir(mode=0o700)
    for name in _entries(f"{there}/layers"):  # one by one: new ones may be made beside them
        (root / "layers" / name).mkdir()
        bind_mount(place, f"{there}/layers/{name}", f"layers/{name}", place.open(f"layers/{name}"), 0)
    if os.path.isdir(f"{there}/cache"):
        bind_mount(place, f"{there}/cache", "cache", place.open("cache"), 0)
    for fd in (current, place.fd, top.fd):
        os.close(fd)


def _entries(directory: str) -> list[str]:
    return os.listdir(directory) if os.path.isdir(directory) else []


def _stays(words: list[str]) -> bool:
    """Whether the command leaves a program behind, rather than wait for its end."""
    _, called, rest = split(words)
    if canonical(called) != "run":
        return True
    from minirun.cli.run import Run

    verb = Run(called)
    return bool(verb.read(rest) and verb.detach)


def _run(words: list[str], stays: bool, quiet: bool) -> int:
    """A command line of its own, as if it were typed."""
    from minirun.__main__ import main

    pid = processes.fork(lambda: _become(main, words, stays, quiet), lambda error: print(error, file=sys.stderr))
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _become(main: Callable[[], None], words: list[str], stays: bool, quiet: bool) -> int:
    seam.watch(Rehearser(stays))
    if quiet:
        null = os.open("/dev/null", os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(null, fd)
    else:  # standard output is for what is told; what the command says itself is beside the point
        RECORDER.out = os.dup(1)
        os.dup2(2, 1)
    sys.argv[1:] = words
    with suppress(SystemExit):
        main()
    return 0
