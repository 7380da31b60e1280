"""A throwaway host with a fork server, and one command line run on it both ways: by the server, and by plain Python.

MINIRUN_DEBUG=1 has the launcher say why it went the plain way, so each run tells which way it went.
"""

import errno
import os
import re
import socket
import subprocess
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.harness import Host, eventually
from tests.harness.host import MINIRUN

SERVER = "the server"  # the way a command went, when it was not plain
_TOLD = re.compile(r"minirun: without the fork server: (.*)\n")
# What differs between any two processes.
_OWN = re.compile(
    r"(Pid|PPid|Tgid|Ngid|NS\w+|Vm\w+|Rss\w+|State|SigQ|\w*ctxt_switches|FDSize|Threads|HugetlbPages|Name):"
)
# The container makes `ready`, and goes on when the test has made `go`.
_GATE = "touch /gate/ready; while [ ! -e /gate/go ]; do sleep 0.01; done"


@dataclass
class Outcome:
    """way: SERVER, or the launcher's reason for the plain start
    command: what /proc shows of the process that ran the command line, while its container ran
    """

    way: str
    code: int
    output: bytes
    errors: bytes
    command: dict[str, Any] = field(default_factory=dict)


class ServedHost:
    """`with Host(own_server=True) as host: served = ServedHost(host)`: a server listens on the host."""

    def __init__(self, host: Host, launcher: str = MINIRUN, is_started: bool = True) -> None:
        self.host = host
        self.launcher = launcher
        self.proc = Path(f"/proc/{host.pid}/root/proc")
        self.run_directory = Path(f"/proc/{host.pid}/root/run")
        if is_started:
            eventually(lambda: self.way() == SERVER, 30)

    def way(self, *words: str, before: str = "exec") -> str:
        """Which way a command goes. `before`: shell text in front of the command, which may change the process."""
        return self.run(*(words or ("version",)), before=before).way

    def start(self, *words: str, before: str = "exec", way: str = "", **kwargs: Any) -> "subprocess.Popen[bytes]":
        """Start minirun with these words; `way` is the value of MINIRUN_FORKSERVER."""
        environment = {**os.environ, "MINIRUN_DEBUG": "1", "MINIRUN_FORKSERVER": way, **kwargs.pop("env", {})}
        kwargs = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **kwargs}
        script = ["bash", "-c", f'{before} "$@"', "bash", self.launcher, *words]
        return self.host.popen(script, env=environment, cwd="/", **kwargs)

    def run(self, *words: str, before: str = "exec", way: str = "", seconds: float = 30, **kwargs: Any) -> Outcome:
        return outcome_of(self.start(*words, before=before, way=way, **kwargs), seconds)

    def observe(
        self, report: str, before: str = "exec", ways: tuple[str, ...] = ("", "off"), after: float = 0
    ) -> list[Outcome]:
        """Run a container that prints `report` each of these ways, at once, and look at its command meanwhile.

        after: seconds after it is known to run"""
        names = [f"c{uuid.uuid4().hex[:8]}" for _ in ways]
        processes = []
        for name, way in zip(names, ways, strict=True):
            gate = self.run_directory / name
            gate.mkdir()
            words = ["-v", f"/run/{name}:/gate", "--name", name, "busybox", "sh", "-c", f"{report}\n{_GATE}"]
            processes.append(self.start("run", "--rm", "--net=host", *words, before=before, way=way))
        return [self._look_at(name, process, after) for name, process in zip(names, processes, strict=True)]

    def _look_at(self, name: str, process: "subprocess.Popen[bytes]", after: float) -> Outcome:
        gate = self.run_directory / name
        eventually(lambda: (gate / "ready").exists() or process.poll() is not None, 20)
        time.sleep(after)
        command = self.describe(self.command_with(name)) if (gate / "ready").exists() else {}
        (gate / "go").touch()
        outcome = outcome_of(process)
        outcome.errors = re.sub(rb"\b[0-9a-f]{16,64}\b", b"ID", outcome.errors)
        outcome.command = {
            key: value.replace(name, "NAME") if isinstance(value, str) else value for key, value in command.items()
        }
        return outcome

    def processes_with(self, word: str) -> list[int]:
        """The processes with this word in their command line, the eldest first."""
        found = []
        for directory in self.proc.glob("[0-9]*"):
            try:
                if word.encode() in (directory / "cmdline").read_bytes():
                    started = int((directory / "stat").read_bytes().rpartition(b")")[2].split()[19])
                    found.append((started, int(directory.name)))
            except OSError:
                pass
        return [pid for _, pid in sorted(found)]

    def command_with(self, word: str) -> int:
        """The process that runs the command line with this word: the eldest that is Python."""
        return next(pid for pid in self.processes_with(word) if "python" in os.readlink(self.proc / str(pid) / "exe"))

    def launcher_with(self, word: str) -> int:
        """The launcher of the command line with this word."""
        program = os.path.realpath(self.launcher)
        return next(pid for pid in self.processes_with(word) if os.readlink(self.proc / str(pid) / "exe") == program)

    def worker_with(self, word: str) -> int:
        """The worker that runs the command line with this word."""
        server = self.server()
        return next(pid for pid in self.processes_with(word) if self.parent(pid) == server)

    def waiting(self) -> list[int]:
        """The processes that wait for the next command: the worker, and once there is time, what it has forked.

        The worker alone shares sockets with the server, and is the parent of what it has forked.
        """
        server = self.server()
        shared = self._sockets(server)
        parents = {pid: self.parent(pid) for pid in self.processes_with("minirun-forkserver")}
        for worker in (pid for pid, parent in parents.items() if parent == server and self._sockets(pid) & shared):
            return [worker, *(pid for pid, parent in parents.items() if parent == worker)]
        return []

    def _sockets(self, pid: int) -> set[str]:
        """The sockets that a process has open; none when it is gone."""
        found = set()
        with suppress(OSError):
            for link in (self.proc / str(pid) / "fd").iterdir():
                with suppress(OSError):
                    found.add(os.readlink(link))
        return {name for name in found if name.startswith("socket:")}

    def send(self, name: str, pid: int) -> None:
        """Send a signal to a process of the host."""
        self.host.sh(f"kill -{name} {pid}")

    def server(self) -> int:
        """The pid of the server; those that wait are its children, with the same command line."""
        pids = self.processes_with("minirun-forkserver")
        parents = {pid: self.parent(pid) for pid in pids}
        return next(pid for pid in pids if parents[pid] not in pids)

    def kill_server(self) -> None:
        """Kill the server; returns when nobody holds its socket any more. The socket's file stays."""
        (path,) = (self.run_directory / "minirun").glob("*.socket")
        self.send("KILL", self.server())
        eventually(lambda: _is_refused(path))
        eventually(lambda: not self.processes_with("minirun-forkserver"))

    def log(self) -> str:
        """What servers have written, which are tracebacks. A new server begins a new log."""
        return "".join(path.read_text() for path in (self.run_directory / "minirun").glob("*.log"))

    def parent(self, pid: int) -> int:
        """The pid of its parent; 0 when it is gone."""
        try:
            return int((self.proc / str(pid) / "stat").read_bytes().rpartition(b")")[2].split()[1])
        except OSError:
            return 0

    def state(self, pid: int) -> str:
        """R, S, T and so on; empty when it is gone."""
        try:
            return (self.proc / str(pid) / "stat").read_bytes().rpartition(b")")[2].split()[0].decode()
        except OSError:
            return ""

    def describe(self, pid: int) -> dict[str, Any]:
        """The attributes of a process that the kernel shows."""
        directory = self.proc / str(pid)
        shown: dict[str, Any] = {}
        for line in (directory / "status").read_text().splitlines():
            if not _OWN.match(line):
                shown[line.partition(":")[0]] = line
        shown["name"] = (directory / "comm").read_text()
        shown["words"] = _read(directory / "cmdline").rstrip("\0")
        for name in (
            "limits",
            "cgroup",
            "oom_score_adj",
            "timerslack_ns",
            "coredump_filter",
            "personality",
            "loginuid",
        ):
            shown[name] = _read(directory / name)
        shown["root"], shown["cwd"] = (re.sub(r"\d+", "N", os.readlink(directory / name)) for name in ("root", "cwd"))
        holder = self.proc / "1" / "ns"
        for link in (directory / "ns").iterdir():
            shown[f"ns/{link.name}"] = os.readlink(link) == os.readlink(holder / link.name)
        for link in (directory / "fd").iterdir():
            target = re.sub(r"\d+", "N", os.readlink(link))
            if int(link.name) < 100 or not target.startswith(("socket", "pipe")):  # a worker's own, to its launcher
                shown[f"fd/{link.name}"] = target
        outside = self.outside_pid(pid)
        shown["affinity"], shown["policy"] = os.sched_getaffinity(outside), os.sched_getscheduler(outside)
        shown["priority"] = os.sched_getparam(outside).sched_priority, os.getpriority(os.PRIO_PROCESS, outside)
        shown["ionice"] = subprocess.run(["ionice", "-p", str(outside)], capture_output=True, check=True).stdout
        return shown

    def outside_pid(self, pid: int) -> int:
        """Its pid on the machine: the status of the same process shows all of them to who looks from there."""
        started = _started(self.proc / str(pid))
        for directory in Path("/proc").glob("[0-9]*"):
            numbers = _read(directory / "status").partition("NSpid:")[2].partition("\n")[0].split()
            if str(pid) in numbers[1:] and _started(directory) == started:
                return int(directory.name)
        raise AssertionError(f"process {pid} is gone")


def _is_refused(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as connection:
        return connection.connect_ex(str(path)) == errno.ECONNREFUSED


def outcome_of(process: "subprocess.Popen[bytes]", seconds: float = 30) -> Outcome:
    output, errors = process.communicate(timeout=seconds)
    told = _TOLD.search((errors or b"").decode(errors="replace"))
    rest = _TOLD.sub("", (errors or b"").decode(errors="surrogateescape")).encode(errors="surrogateescape")
    return Outcome(told[1] if told else SERVER, process.returncode, output, rest)


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def _started(directory: Path) -> str:
    return _read(directory / "stat").rpartition(")")[2].split()[19:20].__repr__()
