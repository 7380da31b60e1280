"""Signals, job control and ends: the launcher is to its shell what the command would be."""

import itertools
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.harness import Terminal, eventually
from tests.harness.host import MINIRUN
from tests.integration.forkserver.served import SERVER, ServedHost, outcome_of

_numbers = itertools.count()
TRAP = "trap 'echo got; exit 3' INT TERM HUP USR1; echo ready; while :; do sleep 0.02; done"
FOREVER = "echo ready; exec sleep 1000"  # as pid 1 it ignores signals


class Running:
    """A command that the server runs: `run` of a container that has printed `ready`."""

    def __init__(self, served: ServedHost, script: str, before: str = "exec", **kwargs: Any) -> None:
        self.served = served
        self.name = f"running{next(_numbers)}"
        words = ("run", "--name", self.name, "--net=none", "busybox", "sh", "-c", script)
        self.process = served.start(*words, before=before, **kwargs)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"ready\n"
        self.launcher, self.worker = served.launcher_with(self.name), served.worker_with(self.name)

    def is_container_up(self) -> bool:
        return self.name in self.served.run("ps", "--format", "{{.Names}}", way="off").output.decode().split()

    def remove(self) -> None:
        self.served.run("rm", "-f", self.name)


@pytest.mark.parametrize("name", ["INT", "TERM", "HUP", "USR1"])
def test_signals_are_forwarded(served: ServedHost, name: str) -> None:
    running = Running(served, TRAP)
    served.send(name, running.launcher)
    done = outcome_of(running.process)
    assert (done.way, done.code, done.output) == (SERVER, 3, b"got\n")


def test_a_new_size_of_the_terminal_is_forwarded(served: ServedHost) -> None:
    script = "trap 'stty size; exit' WINCH; echo ready; while :; do sleep 0.02; done"
    with Terminal(served.host, "run", "--rm", "-it", "--name", "window", "busybox", "sh", "-c", script) as terminal:
        terminal.until(b"ready")
        served.launcher_with("window")
        terminal.resize(33, 77)
        terminal.until(b"33 77")
        assert terminal.wait() == 0


@pytest.fixture(scope="module")
def sleeper(served: ServedHost) -> str:
    """A container that runs on: `wait` for it does not end by itself."""
    assert served.run("run", "-d", "--name", "sleeper", "--net=none", "busybox", "sleep", "1000").code == 0
    return "sleeper"


@pytest.mark.parametrize("name", ["TERM", "HUP", "USR2", "QUIT", "KILL"])
def test_it_ends_by_the_signal_that_ended_the_worker(served: ServedHost, sleeper: str, name: str) -> None:
    process = served.start("wait", sleeper)
    worker = eventually(lambda: worker_of_wait(served), 10)
    served.send(name, worker)
    done = outcome_of(process)
    assert (done.way, done.code) == (SERVER, -getattr(signal, f"SIG{name}"))


def worker_of_wait(served: ServedHost) -> int:
    """Once it has been told to go on: the launcher has then closed what it took over."""
    try:
        launcher = served.launcher_with("wait\0sleeper")
        return served.worker_with("wait\0sleeper") if not (served.proc / str(launcher) / "fd/0").exists() else 0
    except (StopIteration, FileNotFoundError):
        return 0


def test_exit_codes(served: ServedHost, sleeper: str) -> None:
    codes = [0, 1, 2, 3, 63, 64, 125, 126, 127, 128, 129, 130, 137, 143, 254, 255]
    done = [served.run("exec", sleeper, "sh", "-c", f"exit {code}") for code in codes]
    assert [one.code for one in done] == codes
    assert {one.way for one in done} == {SERVER}


def test_ctrl_z_ctrl_c_and_fg_in_a_shell(served: ServedHost) -> None:
    """A shell with job control at a terminal: it sees its child stop, and end."""
    script = "trap 'echo interrupted; exit 5' INT; echo ready; while :; do sleep 0.02; done"
    with Shell(served) as shell:
        shell.type(f'{MINIRUN} run --rm --net=none --name job busybox sh -c "{script}"; echo code=$?\n'.encode())
        shell.until(b"\rready")
        launcher, worker = served.launcher_with("job"), served.worker_with("job")
        shell.type(b"\x1a")
        shell.until(b"Stopped")
        assert (served.state(launcher), served.state(worker)) == ("T", "T")
        shell.type(b"fg\n")
        eventually(lambda: "T" not in served.state(launcher) + served.state(worker))
        shell.type(b"\x03")
        shell.until(b"interrupted")
        shell.type(b"echo code=$?\n")
        shell.until(b"code=5")


@pytest.mark.skipif(tuple(map(int, os.uname().release.split(".")[:2])) < (6, 9), reason="needs Linux 6.9")
def test_a_terminals_signals_reach_the_children_of_a_command(served: ServedHost) -> None:
    """As they do where the command is in the terminal's foreground process group itself."""
    with Shell(served) as shell:
        shell.type(f"{MINIRUN} tour 2\n".encode())
        shell.until(b"[q] quit ")
        worker = served.worker_with("tour")
        children = [pid for pid in served.processes_with("tour") if served.parent(pid) == worker]
        assert children
        shell.type(b"\x1a")
        shell.until(b"Stopped")
        eventually(lambda: {served.state(pid) for pid in children} == {"T"}, 15)
        # The tour's pid 1 waits in its handler: before, it could be the one that reads what is typed.
        eventually(lambda: any(waits_for_signal(served, pid) for pid in served.processes_with("tour")), 15)
        shell.type(b"fg\n")
        eventually(lambda: "T" not in {served.state(pid) for pid in (worker, *children)}, 15)
        shell.type(b"\x03")
        eventually(lambda: not served.state(worker), 15)
        shell.type(b"echo code=$?\n")
        shell.until(b"code=130")


def waits_for_signal(served: ServedHost, pid: int) -> bool:
    """Whether a process is in sigwait(3)."""
    return "sigtimedwait" in (served.proc / str(pid) / "wchan").read_text()


def test_in_the_background_of_a_terminal_python_is_started(served: ServedHost) -> None:
    """It would be stopped when it reads from the terminal; a worker, which has no terminal, would not."""
    with Shell(served) as shell:
        shell.type(f"MINIRUN_DEBUG=1 {MINIRUN} version & wait\n".encode())
        shell.until(b"without the fork server: it runs in the background of a terminal")


class Shell(Terminal):
    """An interactive bash at the terminal in place of minirun."""

    def __init__(self, served: ServedHost) -> None:
        super().__init__(served.host, "version")
        self.until(b"version")
        self.process.wait()
        argv = ["env", "--default-signal", "setsid", "--ctty", "--wait", "bash", "--norc", "-i"]
        streams: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), self.slave)
        self.process = served.host.popen(argv, **streams, start_new_session=True)


def test_a_stopped_worker_stops_the_launcher(served: ServedHost) -> None:
    running = Running(served, TRAP)
    served.send("STOP", running.worker)
    eventually(lambda: served.state(running.launcher) == "T")
    own = Path(f"/proc/{running.process.pid}/stat")  # of nsenter, which stops with its child, and continues it
    eventually(lambda: own.read_text().rpartition(")")[2].split()[0] == "T")
    running.process.send_signal(signal.SIGCONT)
    eventually(lambda: served.state(running.worker) in ("S", "R"))
    served.send("TERM", running.launcher)
    assert outcome_of(running.process).code == 3


@pytest.mark.parametrize("before", ["exec", "exec nohup", "trap '' HUP TERM; exec"])
def test_a_killed_launcher_ends_the_worker_but_no_container(served: ServedHost, before: str) -> None:
    running = Running(served, FOREVER, before)
    served.send("KILL", running.launcher)
    assert running.process.wait() == -signal.SIGKILL
    eventually(lambda: served.state(running.worker) == "", 10)
    assert running.is_container_up()
    running.remove()


def test_under_nohup_a_hangup_is_not_forwarded(served: ServedHost) -> None:
    running = Running(served, TRAP, "exec nohup")
    served.send("HUP", running.launcher)
    with pytest.raises(subprocess.TimeoutExpired):
        running.process.wait(0.5)
    served.send("TERM", running.launcher)
    assert outcome_of(running.process).code == 3


def test_a_killed_server_ends_no_command_and_no_container(served: ServedHost) -> None:
    running = Running(served, TRAP)
    detached = served.run("run", "-d", "--name", "detached", "--net=none", "busybox", "sleep", "1000")
    assert detached.way == SERVER
    server = served.server()
    served.kill_server()
    assert served.way() == "none is running"
    eventually(lambda: served.way() == SERVER, 30)
    assert served.server() != server
    assert served.run("exec", "detached", "echo", "alive").output == b"alive\n"
    served.send("TERM", running.launcher)
    done = outcome_of(running.process)
    assert (done.code, done.output) == (3, b"got\n")
    served.run("rm", "-f", "detached")


def test_a_command_outlives_the_server_that_is_told_to_end(served: ServedHost) -> None:
    running = Running(served, TRAP)
    server = served.server()
    served.send("TERM", server)
    eventually(lambda: served.way() != SERVER)
    assert served.state(server)
    served.send("TERM", running.launcher)
    assert outcome_of(running.process).code == 3
    eventually(lambda: served.state(server) == "")
    eventually(lambda: served.way() == SERVER, 30)
