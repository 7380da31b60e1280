"""A fork server that systemd starts for its socket (packaging/minirun-forkserver.socket)."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from minirun.forkserver.location import server_program, socket_path
from tests.harness import Host, eventually
from tests.harness.host import MINIRUN, REPO

SOCKET, PROGRAM = socket_path(Path(MINIRUN)), server_program(Path(MINIRUN))
MANAGER = Path(__file__).with_name("service_manager.py")
WAIT = "while [ ! -e /end ]; do sleep 0.1; done; exit 7"


class ServiceManager:
    """systemd's part on a host, in a pid namespace where it is pid 1."""

    def __init__(self, host: Host, *words: str) -> None:
        flags = ["--pid", "--mount", "--fork", "--kill-child", "--propagation", "unchanged", "--mount-proc"]
        argv = [sys.executable, "-I", str(MANAGER), str(SOCKET), str(PROGRAM), *words]
        self.host = host
        self._errors = Path(f"/proc/{host.pid}/root/run/errors")
        with self._errors.open("w") as errors:
            self._process = host.popen(["unshare", *flags, *argv], stdout=subprocess.PIPE, stderr=errors)
        self.pid = eventually(lambda: host.sh(f"pgrep -f '^{sys.executable} -I {MANAGER}' || true").strip())
        eventually(lambda: host.sh(f"ls {SOCKET} || true"))

    def started(self) -> int:
        """The pid of the next server that it starts; waits for it."""
        assert self._process.stdout is not None
        return int(self._process.stdout.readline())

    def command(self, *words: str) -> list[str]:
        return ["nsenter", "-t", self.pid, "-m", "-p", *words]

    def minirun(self, *words: str, **kwargs: Any) -> Any:
        return self.host.run(self.command(MINIRUN, *words), **kwargs)

    def state(self) -> str:
        """Whether there is a server, and how many commands it has run."""
        shown = "{{.ForkServer.State}} {{.ForkServer.Commands}}"
        return str(self.minirun("info", "--format", shown).stdout)

    def errors(self) -> str:
        return self._errors.read_text()

    def servers(self) -> list[str]:
        """The pids of servers, without their workers that wait."""
        listed = self.host.run(self.command("ps", "axwwo", "pid=,ppid=,args=")).stdout
        found = [
            line.split()[:2]
            for line in listed.splitlines()
            if "minirun-forkserver" in line and MANAGER.name not in line
        ]
        return [pid for pid, parent in found if parent == "1"]


@pytest.fixture
def manager(host: Host) -> ServiceManager:
    return ServiceManager(host)


def test_the_first_command_is_run_by_the_server_that_it_has_started(manager: ServiceManager) -> None:
    assert manager.state() == "running 1\n"
    assert manager.servers() == [str(manager.started())]
    words = ["run", "--net=none", "--name", "web", "busybox", "sh", "-c", "sleep 1000", "x" * 1000]
    manager.host.popen(manager.command(MINIRUN, *words))
    # The server was started without room for that on its own command line.
    shown = f"/libexec/minirun {' '.join(words)}"
    eventually(lambda: shown in manager.host.run(manager.command("ps", "axwwo", "args=")).stdout)
    assert manager.errors() == ""


def test_a_stopped_one_is_started_again_and_commands_go_on(manager: ServiceManager) -> None:
    words = [
        "run",
        "--net=none",
        "--name",
        "web",
        "busybox",
        "sh",
        "-c",
        "while [ ! -e /end ]; do sleep 0.1; done; exit 7",
    ]
    command = manager.host.popen(manager.command(MINIRUN, *words))
    first = manager.started()
    eventually(lambda: manager.minirun("ps", "-q").stdout, 30)
    manager.minirun("system", "stop-server")
    assert manager.servers() == []  # and none has been started for a second `stop-server` to stop
    manager.minirun("system", "stop-server")
    assert manager.servers() == []
    assert manager.host.sh(f"ls {SOCKET}")
    assert manager.state() == "running 1\n"
    second = manager.started()
    assert first != second
    manager.minirun("exec", "web", "touch", "/end")
    assert command.wait(10) == 7
    assert manager.servers() == [str(second)]


def test_a_killed_one_is_started_again(manager: ServiceManager) -> None:
    manager.minirun("version")
    manager.host.run(manager.command("kill", "-9", str(manager.started())))
    eventually(lambda: manager.servers() == [])
    assert manager.state() == "running 1\n"


def test_old_code_is_replaced_by_systemd_and_not_by_the_launcher(manager: ServiceManager) -> None:
    manager.minirun("version")
    manager.started()
    manager.host.sh(f"echo changed > {SOCKET.with_suffix('.code')}")
    environment = "MINIRUN_DEBUG=1"
    done = manager.host.run(manager.command("env", environment, MINIRUN, "version"))
    assert "its code is not what is installed now" in done.stderr
    eventually(lambda: manager.servers() == [])
    assert manager.state() == "running 1\n"
    assert manager.servers() == [str(manager.started())]


def test_a_socket_that_does_not_fit_is_refused_in_words(host: Host) -> None:
    manager = ServiceManager(host, "2")
    manager.host.popen(manager.command(MINIRUN, "version"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    eventually(lambda: f"the socket unit has to say ListenStream={SOCKET} alone" in manager.errors(), 20)


def test_the_units_are_filled_in_as_their_comment_says(host: Host) -> None:
    """With nothing in the service that would make the server differ from its callers."""
    text = (REPO / "packaging/minirun-forkserver.socket").read_text()
    script = "".join(line.removeprefix("#   ") for line in text.splitlines(keepends=True) if line.startswith("#   "))
    script = script.partition("minirun system stop-server")[0].replace("/etc/systemd/system", "/run/units")
    host.sh(f"set -e; mkdir /run/units; cd '{REPO}'; PATH={Path(MINIRUN).parent}:$PATH\n{script}")
    socket, service = (
        host.sh(f"cat /run/units/minirun-forkserver.{kind}").splitlines() for kind in ("socket", "service")
    )
    assert {f"ListenStream={SOCKET}", "DirectoryMode=0700", "SocketMode=0600"} <= set(socket)
    assert f"ExecStart={PROGRAM} {SOCKET}" in service
    names = {line.partition("=")[0] for line in service if re.match(r"\w+=", line)}
    allowed = {"Description", "Requires", "After", "ExecStart", "Environment", "KillMode"}
    assert {name for name in names if not name.startswith("StartLimit")} == allowed
