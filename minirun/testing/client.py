"""Running the program `minirun`, on this host or in a throwaway one, and sockets in that host's network namespace."""

import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from minirun.testing.failures import CommandError, HostError, ProgramNotFoundError, failure_of
from minirun.testing.rootless import HeldLab

_CLONE_NEWNET = 0x40000000  # linux/sched.h


def program() -> str:
    """Return the path of `minirun`: $MINIRUN_BIN, or beside this Python, or on the PATH."""
    beside = Path(sys.executable).with_name("minirun")
    path = os.environ.get("MINIRUN_BIN") or (str(beside) if beside.exists() else shutil.which("minirun"))
    if not path:
        raise ProgramNotFoundError("there is no program `minirun` on the PATH; MINIRUN_BIN=PATH names one")
    return path


def whole_path(path: str | os.PathLike[str]) -> str:
    """Return a path that is good in any working directory: commands on a throwaway host have another one.

    The end stays as it is ("directory/." is what is in it), and a URL, too.
    """
    text = os.fspath(path)
    return text if "://" in text else os.path.join(os.getcwd(), text)


@dataclass(frozen=True)
class Client:
    """Runs commands of minirun. `pid`: a process whose namespaces they run in (0: this process's); `root`: the state
    root ("": the default); `lab`: the lab that the process is in, if it is in one."""

    pid: int = 0
    root: str = ""
    lab: HeldLab | None = None

    def argv(self, words: Sequence[str]) -> list[str]:
        """Return the whole command line."""
        enter = ["nsenter", "-t", str(self.pid), "-m", "-u", "-i", "-n", "-p", "-C"] if self.pid else []
        enter += ["-U", "--preserve-credentials"] if self.lab else []
        return [*enter, program(), *(["--root", self.root] if self.root else []), *words]

    def run(
        self,
        words: Sequence[str],
        kind: type[HostError] | None = CommandError,
        data: bytes | None = None,
        timeout: float | None = None,
    ) -> "subprocess.CompletedProcess[bytes]":
        """Run a command with `data` as its standard input. A failure raises `kind`; with None it is returned."""
        command = self.argv(words)
        done = subprocess.run(command, capture_output=True, check=False, input=data or b"", timeout=timeout)
        if done.returncode and kind is not None:
            text = done.stderr.decode("utf-8", "replace").strip()
            raise failure_of(text or f"exit code {done.returncode}", command, done.returncode, kind)
        return done

    def text(self, *words: str, kind: type[HostError] = CommandError) -> str:
        """Run a command and return what it prints, without the last newline."""
        return self.run(words, kind).stdout.decode("utf-8", "replace").rstrip("\n")

    def connect(self, address: str, port: int, timeout: float) -> socket.socket:
        """Connect to a port, in the host's network namespace. OSError."""
        if self.lab:
            return self.lab.connect(address, port, timeout)
        return self.in_netns(lambda: socket.create_connection((address, port), timeout))

    def in_netns(self, make: Callable[[], socket.socket]) -> socket.socket:
        """Make a socket in the host's network namespace. It stays there; only a thread of its own enters."""
        if not self.pid:
            return make()
        made: list[socket.socket] = []
        failed: list[OSError] = []

        def enter() -> None:
            try:
                with open(f"/proc/{self.pid}/ns/net", "rb") as netns:
                    _setns(netns.fileno())
                made.append(make())
            except OSError as error:
                failed.append(error)

        thread = threading.Thread(target=enter)
        thread.start()
        thread.join()
        if failed:
            raise failed[0]
        return made[0]


def _setns(fd: int) -> None:
    """Move the calling thread, and no other, to a network namespace (setns(2))."""
    if sys.version_info >= (3, 12):
        os.setns(fd, _CLONE_NEWNET)
        return
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(fd, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")
