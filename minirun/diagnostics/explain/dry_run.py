"""`minirun explain`: rehearse a command in a throwaway copy of this host, up to the point where the image's program
would start. So `explain stop web` shows how web is stopped, while the real web keeps running.
"""

import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import TypeAlias

from minirun.diagnostics.explain.host_copy import HostCopy
from minirun.diagnostics.explain.recorder import RECORDER
from minirun.instance import Instance
from minirun.kernel import processes, seam, throwaway
from minirun.model import Container

# Runs one command line (the words after `minirun`) as if it were typed, and returns its exit code. It may also leave
# by os._exit or SystemExit: it has a process of its own.
RunCommand: TypeAlias = Callable[[list[str]], int]


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
            signals = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD, signal.SIGCONT}
            signal.pthread_sigmask(signal.SIG_BLOCK, signals)
            signal.sigwait(signals)
        os._exit(0)


def dry_run(instance: Instance, run_command: RunCommand, words: list[str], form: str, detached: bool) -> int:
    """Run a command line in a throwaway copy of this host and print its operations to standard output.

    `run_command` runs a command line, `words` is the line without `minirun`, `form` is one of render.FORMS. `detached`
    says that the command does not wait for the program to end (everything but a `run` in the foreground). What the
    command itself prints goes to standard error. Returns the command's exit code.
    """
    copy, root = HostCopy.of(instance, words), ["--root", str(instance.root)]
    instance.store.close()

    def start(container: Container) -> None:
        if _run_in_child(run_command, [*root, "start", container.name], waits=True, quiet=True):
            print(f"minirun: cannot start container {container.name} in the copy of this host", file=sys.stderr)

    def in_copy() -> int:
        RECORDER.start()  # before the containers' shims are made: they help to stop their containers
        RECORDER.host_pids = copy.build(start)
        RECORDER.forget()
        return _run_in_child(run_command, [f"--explain={form}", *root, *words], waits=detached, quiet=False)

    return throwaway.host_live(f"minirun-explain-{os.getpid()}", in_copy)


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
