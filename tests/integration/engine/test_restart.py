"""Restart policies: how often, when they end, and what a killed shim leaves."""

import json
import subprocess
import sys
import time

import pytest

from tests.harness import Host, Snapshot, assert_same, eventually
from tests.harness.host import MINIRUN, REPO
from tests.integration.engine.states import state, status


def test_on_failure_restarts_so_often_and_no_more(primed: Host) -> None:
    before = Snapshot.of(primed)
    primed.minirun("run", "-d", "--name", "flaky", "--restart=on-failure:2", "busybox", "sh", "-c", "echo run; exit 4")
    eventually(lambda: status(primed, "flaky") == "exited")
    found = state(primed, "flaky")
    assert (found["RestartCount"], found["State"]["ExitCode"]) == (2, 4)
    assert primed.minirun("logs", "flaky").stdout == "run\n" * 3
    primed.minirun("rm", "flaky")
    assert_same(primed, before)


def test_always_comes_back_in_its_network_namespace_until_it_is_stopped(primed: Host) -> None:
    before = Snapshot.of(primed)
    primed.minirun("run", "-d", "--name", "web", "--restart=always", "-p", "8080:80", "busybox", "sleep", "1000")
    first = state(primed, "web")
    primed.sh(f"kill -9 {first['State']['Pid']}")
    eventually(lambda: state(primed, "web")["State"]["Pid"] not in (0, first["State"]["Pid"]))
    again = state(primed, "web")
    assert again["RestartCount"] == 1
    assert again["NetworkSettings"] == first["NetworkSettings"]
    assert primed.minirun("exec", "web", "ip", "-4", "addr", "show", "eth0").stdout
    primed.minirun("stop", "-t", "0", "web")
    time.sleep(0.3)
    assert status(primed, "web") == "exited"
    primed.minirun("rm", "web")
    assert_same(primed, before)


@pytest.mark.parametrize("words", [["stop"], ["kill"], ["rm", "-f"]], ids=" ".join)
def test_one_that_waits_for_its_next_start_can_be_ended(primed: Host, words: list[str]) -> None:
    before = Snapshot.of(primed)
    primed.minirun("run", "-d", "--name", "loop", "--restart=always", "busybox", "false")
    eventually(lambda: state(primed, "loop")["RestartCount"] >= 4)  # by now it waits a second or so
    primed.minirun(*words, "loop", timeout=10)
    if words[0] != "rm":
        eventually(lambda: status(primed, "loop") == "exited")
        primed.minirun("rm", "loop")
    assert_same(primed, before)


def test_a_killed_shim_is_told_of_and_its_container_can_be_started_again(primed: Host) -> None:
    primed.minirun("run", "-d", "--name", "web", "--restart=always", "busybox", "sleep", "1000")
    primed.sh(f"kill -9 {state(primed, 'web')['State']['MonitorPid']}")
    found = eventually(lambda: (now := state(primed, "web"))["State"]["Status"] == "exited" and now)
    assert "shim" in found["State"]["Error"]
    primed.minirun("start", "web")
    assert status(primed, "web") == "running"


def test_restart_keeps_even_one_that_removes_itself(primed: Host) -> None:
    before = Snapshot.of(primed)
    primed.minirun("run", "-d", "--rm", "--name", "web", "busybox", "sleep", "1000")
    pid = state(primed, "web")["State"]["Pid"]
    assert primed.minirun("restart", "-t", "0", "web").stdout == "web\n"
    assert state(primed, "web")["State"]["Pid"] not in (0, pid)
    primed.minirun("stop", "-t", "0", "web")
    assert "web" not in primed.minirun("ps", "-a").stdout
    assert_same(primed, before)


def test_a_container_that_was_renamed_still_starts_again_by_itself(primed: Host) -> None:
    before = Snapshot.of(primed)
    primed.minirun("run", "-d", "--name", "old", "--restart=always", "busybox", "sleep", "1000")
    primed.minirun("rename", "old", "new")
    pid = state(primed, "new")["State"]["Pid"]
    primed.sh(f"kill -9 {pid}")
    eventually(lambda: state(primed, "new")["State"]["Pid"] not in (0, pid))
    assert primed.minirun("exec", "new", "ip", "-4", "addr", "show", "eth0").stdout
    primed.minirun("rm", "-f", "new")
    assert_same(primed, before)


def test_one_that_was_killed_while_paused_is_not_frozen_when_it_starts_again(primed: Host) -> None:
    primed.minirun("run", "-d", "--name", "web", "--net=none", "--restart=always", "busybox", "sleep", "1000")
    primed.minirun("pause", "web")
    pid = state(primed, "web")["State"]["Pid"]
    primed.sh(f"kill -9 {pid}")
    eventually(lambda: state(primed, "web")["State"]["Pid"] not in (0, pid))
    assert primed.minirun("exec", "web", "echo", "alive").stdout == "alive\n"


@pytest.mark.parametrize("delay", [0, 0.02, 0.05, 0.1, 0.13, 0.2])
def test_stop_holds_at_whatever_moment_it_comes(primed: Host, delay: float) -> None:
    """Between two runs, in the middle of one, while one is being started: it ends, and stays ended."""
    primed.minirun("run", "-d", "--name", "loop", "--net=none", "--restart=always", "busybox", "sleep", "0.03")
    time.sleep(delay)
    primed.minirun("stop", "-t", "0", "loop", timeout=10)
    assert status(primed, "loop") == "exited"
    time.sleep(0.5)
    assert status(primed, "loop") == "exited"


def test_a_signal_between_two_runs_hurts_nobody(primed: Host) -> None:
    primed.minirun("run", "-d", "--name", "loop", "--net=none", "--restart=always", "busybox", "false")
    eventually(lambda: state(primed, "loop")["RestartCount"] >= 4)
    say = (
        "import socket, sys, time; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]);"
        " s.sendall(bytes([6, 0, 0, 0, 1, 15]) + bytes([2, 0, 0, 0, 0]) + b'not our language'); time.sleep(0.1)"
    )
    directory = f"/var/lib/minirun/containers/{state(primed, 'loop')['Id']}"
    primed.sh(f'cd {directory} && {sys.executable} -c "{say}" attach')
    count = state(primed, "loop")["RestartCount"]
    eventually(lambda: state(primed, "loop")["RestartCount"] > count, 10)
    primed.minirun("rm", "-f", "loop")


def test_a_killed_shim_of_a_foreground_run_is_told_of(primed: Host) -> None:
    before = Snapshot.of(primed)
    for extra in ([], ["--rm"]):
        run = primed.popen(
            [MINIRUN, "run", *extra, "--name", "web", "--net=none", "busybox", "sleep", "1000"],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        eventually(lambda: status(primed, "web") == "running")
        primed.sh(f"kill -9 {state(primed, 'web')['State']['MonitorPid']}")
        assert run.wait(10) == 137
        assert run.stderr
        assert b"was killed" in run.stderr.read()
        if not extra:
            primed.minirun("rm", "web")
    assert_same(primed, before)


def test_after_a_crash_system_start_brings_back_what_should_run(primed: Host) -> None:
    primed.minirun("run", "-d", "--name", "stays", "-p", "8080:80", "--restart=always", "busybox", "sleep", "1000")
    primed.minirun("run", "-d", "--name", "user", "--restart=unless-stopped", "busybox", "sleep", "1000")
    primed.minirun("run", "-d", "--name", "kept", "--restart=unless-stopped", "busybox", "sleep", "1000")
    primed.minirun("run", "-d", "--name", "once", "busybox", "sleep", "1000")
    primed.minirun("stop", "-t0", "user")
    before = _address(primed, "stays")
    shims = primed.minirun("inspect", "-f", "{{.State.MonitorPid}}", "stays", "kept", "once").stdout.split()
    primed.sh(f"kill -9 {' '.join(shims)}")  # at once: the next command starts lost ones again
    eventually(lambda: not primed.sh("pgrep -f '[s]leep 1000'", check=False))
    assert primed.minirun("system", "start").stdout.split() == ["stays", "kept"]
    running = sorted(line.split()[-1] for line in primed.minirun("ps").stdout.splitlines()[1:])
    assert running == ["kept", "stays"]
    assert _address(primed, "stays") == before
    assert primed.minirun("port", "stays").stdout == "80/tcp -> 0.0.0.0:8080\n80/tcp -> [::]:8080\n"
    unit = REPO / "packaging" / "minirun.service"
    assert "ExecStart=/usr/local/bin/minirun system start" in unit.read_text()


def test_several_system_starts_at_once_share_the_work(primed: Host) -> None:
    """As when a boot's unit runs while a command starts again what was lost."""
    names = [f"c{number}" for number in range(6)]
    for number, name in enumerate(names):
        primed.minirun(
            "run", "-d", "--name", name, "-p", f"808{number}:80", "--restart=always", "busybox", "sleep", "1000"
        )
    shims = primed.minirun("inspect", "-f", "{{.State.MonitorPid}}", *names).stdout.split()
    primed.sh(f"kill -9 {' '.join(shims)}")
    eventually(lambda: not primed.sh("pgrep -f '[s]leep 1000'", check=False))
    piped = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    starts = [primed.popen([MINIRUN, "system", "start"], **piped) for _ in range(4)]
    said = [start.communicate(timeout=30) for start in starts]
    assert [start.returncode for start in starts] == [0] * 4, said
    assert sorted("".join(output for output, _ in said).split()) == names
    running = primed.minirun("ps", "--format", "{{.Names}}").stdout.split()
    assert sorted(running) == names


def _address(host: Host, name: str) -> str:
    return str(json.loads(host.minirun("inspect", name).stdout)[0]["NetworkSettings"]["IPAddress"])
