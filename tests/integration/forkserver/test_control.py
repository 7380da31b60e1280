"""`minirun info` tells of the fork server, and `minirun system stop-server` stops it, also when it does not answer."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from minirun.forkserver.location import socket_path
from tests.harness import Host, eventually
from tests.harness.host import MINIRUN, REPO

SOCKET = socket_path(Path(MINIRUN))
CODE = SOCKET.with_suffix(".code")
SERVERS = "ps axwwo pid=,ppid=,args= | awk '/[m]inirun-forkserver/'"
# As root in its directory, but listen(2) is called by another user, whom the kernel notes.
LISTEN = """
import os, socket, sys, time
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
open(sys.argv[1].replace(".socket", ".code"), "w").close()
os.setresuid(65534, 65534, 65534)
listener.listen()
print("ready", flush=True)
time.sleep(1000)
"""
ASK = """
import os, socket, sys
channel = socket.socket(socket.AF_UNIX)
channel.settimeout(10)
os.setresuid(*[int(sys.argv[2])] * 3)
try:
    channel.connect(sys.argv[1])
    channel.sendall(b"status..")
    print(channel.recv(1000))
except OSError as error:
    print(type(error).__name__)
"""


@pytest.fixture
def lone() -> Iterator[Host]:
    """A host whose fork server is in it, once a command has started it."""
    with Host(own_server=True) as host:
        yield host


@pytest.fixture
def served(lone: Host) -> Host:
    """The same, with a server that has imported its code."""
    lone.minirun("version")
    eventually(lambda: lone.sh(f"ls {CODE} || true"), 20)
    return lone


def server_of(host: Host) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(host.minirun("info", "--format", "{{json .ForkServer}}").stdout)
    return found


def servers(host: Host) -> list[str]:
    """The server and those that wait for a command, each a line of ps(1)."""
    return host.sh(SERVERS).splitlines()


def test_info_tells_whether_there_is_one(lone: Host) -> None:
    ask = f"'{MINIRUN}' info --format '{{{{json .ForkServer}}}}'"
    first = json.loads(lone.sh(f"MINIRUN_FORKSERVER=off {ask}"))  # which starts none
    assert (first["State"], first["Socket"]) == ("none", str(SOCKET))
    assert first["Program"] == str(Path(MINIRUN).parents[1] / "libexec/minirun-forkserver")
    lone.minirun("version")
    eventually(lambda: lone.sh(f"ls {SOCKET} || true"), 20)
    lone.minirun("version")
    server_of(lone)
    # Its worker may still be ending.
    eventually(lambda: json.loads(lone.sh(f"MINIRUN_FORKSERVER=off {ask}"))["CommandsRunning"] == 0)
    found = server_of(lone)
    # The three commands: what has only asked is none.
    assert (found["State"], found["Commands"], found["CommandsRunning"]) == ("running", 3, 1)
    assert f"{found['Pid']} 1 " in lone.sh(SERVERS + " | sed 's/^ *//; s/  */ /g'")
    assert 10 << 20 < found["Memory"] < 200 << 20
    assert 0 <= found["UpSeconds"] < 60
    text = lone.minirun("info").stdout
    assert f"Fork Server: running\n Process: {found['Pid']}\n Commands: 4 (1 running)\n Started: " in text
    assert f" Socket: {SOCKET}\n" in text


def test_it_is_idle_since_the_last_command(served: Host) -> None:
    served.minirun("version")
    served.sh("sleep 2")
    asked = f"MINIRUN_FORKSERVER=off '{MINIRUN}' info --format '{{{{json .ForkServer}}}}'"
    found = [json.loads(served.sh(asked)) for _ in range(2)]
    assert [one["CommandsRunning"] for one in found] == [0, 0]
    assert 2 <= found[0]["IdleSeconds"] <= found[1]["IdleSeconds"]


def test_it_is_stopped_and_its_files_are_gone(served: Host) -> None:
    eventually(lambda: len(servers(served)) == 3)
    for _ in range(2):  # there is none the second time
        done = served.minirun("system", "stop-server")
        assert (done.stdout, done.stderr) == ("", "")
        eventually(lambda: servers(served) == [])
        assert served.sh("ls /run/minirun | sed 's/.*[.]//'").split() == ["lock", "log"]
    assert served.minirun("version", "--format", "{{.Client.Os}}").stdout == "linux\n"
    eventually(lambda: len(servers(served)) == 3, 20)


def test_a_command_that_runs_goes_on(served: Host) -> None:
    words = [
        "run",
        "--name",
        "web",
        "--net=none",
        "busybox",
        "sh",
        "-c",
        "while [ ! -e /end ]; do sleep 0.1; done; exit 7",
    ]
    command = served.popen([MINIRUN, *words])
    eventually(lambda: served.minirun("ps", "-q").stdout)
    served.minirun("system", "stop-server")
    assert len(servers(served)) == 1  # it has no worker for a next command
    assert command.poll() is None
    served.sh(f"MINIRUN_FORKSERVER=off '{MINIRUN}' exec web touch /end")
    assert command.wait(10) == 7
    eventually(lambda: servers(served) == [])


def test_a_command_of_the_server_can_stop_it(served: Host) -> None:
    """The launcher starts Python for `system stop-server`, but knows no options that come before."""
    done = served.sh(f"MINIRUN_DEBUG=1 '{MINIRUN}' --root /var/lib/minirun system stop-server 2>&1", timeout=10)
    assert done == ""  # a plain start would have been told
    eventually(lambda: servers(served) == [])


def test_one_that_is_starting_is_waited_for(lone: Host) -> None:
    find = "pgrep -o -f '[m]inirun-forkserver'"
    lone.sh(f"'{MINIRUN}' version & until pid=$({find}); do :; done; kill -STOP $pid; wait")
    assert lone.sh(f"ls {CODE} || true") == ""
    stopping = lone.popen([MINIRUN, "system", "stop-server"])
    lone.sh("sleep 2")
    assert stopping.poll() is None
    lone.sh(f"kill -CONT $({find})")
    assert stopping.wait(20) == 0
    eventually(lambda: servers(lone) == [])


def test_one_that_does_not_answer_is_told_of_in_time(served: Host) -> None:
    pid = served.sh(f"{SERVERS} | awk '$2 == 1 {{print $1}}'").strip()
    served.sh(f"kill -STOP {pid}")
    started = time.monotonic()
    done = served.minirun("system", "stop-server", check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("minirun: the fork server does not answer\n")
    assert f"kill -9 {pid} ends it" in done.stderr
    assert server_of(served)["State"] == "no answer"
    assert time.monotonic() - started < 25
    served.sh(f"kill -9 {pid}")
    eventually(lambda: servers(served) == [])
    served.minirun("system", "stop-server")


def test_only_root_reaches_it(served: Host) -> None:
    def answer(user: int) -> str:
        argv = [sys.executable, "-I", "-c", ASK, str(SOCKET), str(user)]
        return str(served.run(argv).stdout)

    assert served.run(["stat", "-c", "%a %U", "/run/minirun", str(SOCKET)]).stdout == "700 root\n600 root\n"
    assert "commands" in answer(0)
    assert answer(65534) == "PermissionError\n"
    # It does not depend on the rights of files alone.
    served.sh(f"chmod 755 /run/minirun; chmod 666 {SOCKET}")
    assert "commands" in answer(0)
    assert answer(65534) in ("b''\n", "ConnectionResetError\n", "BrokenPipeError\n")


def test_what_listens_there_and_is_not_roots_is_not_asked(lone: Host) -> None:
    lone.sh("mkdir -m 700 /run/minirun")
    listener = lone.popen([sys.executable, "-I", "-c", LISTEN, str(SOCKET)], stdout=subprocess.PIPE)
    assert listener.stdout is not None
    assert listener.stdout.readline() == b"ready\n"
    found = server_of(lone)
    assert found["State"] == "no answer"
    assert found["Error"].endswith("does not belong to root")
    done = lone.minirun("system", "stop-server", check=False)
    assert done.returncode == 1
    assert f"remove {SOCKET}" in done.stderr


def test_an_installation_without_a_launcher_has_none(lone: Host) -> None:
    python = f"cd / && PYTHONPATH='{REPO}' '{sys.executable}' -m minirun"
    assert lone.sh(f"{python} info --format '{{{{json .ForkServer}}}}'") == '{"State":"not installed"}\n'
    assert lone.sh(f"{python} system stop-server") == ""
