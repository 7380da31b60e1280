"""A shim with nothing to do is a small C program, and the shim again when something happens."""

import os
import re
import time
from collections.abc import Iterator

import pytest

from tests.harness import Host, Snapshot, assert_same, eventually, fork_server
from tests.harness.host import MINIRUN, REPO

SOON = {"env": {**os.environ, "MINIRUN_AWAKE": "0.1"}}


SLEEPS = {"env": {**os.environ, "MINIRUN_AWAKE": "0"}}


def start(host: Host, *words: str, **manner: object) -> int:
    """A container named web; returns the pid of its shim, which sleeps."""
    host.minirun("run", "-d", "--name", "web", *words, **(manner or SOON))
    shim = shim_of(host)
    eventually(lambda: is_idle(host, shim))
    return shim


def shim_of(host: Host) -> int:
    return int(host.minirun("inspect", "-f", "{{.State.MonitorPid}}", "web").stdout)


def is_idle(host: Host, pid: int) -> bool:
    return host.sh(f"cat /proc/{pid}/cmdline").startswith("minirun-shim\0")


def state(host: Host, what: str) -> str:
    return str(host.minirun("inspect", "-f", f"{{{{.State.{what}}}}}", "web").stdout).strip()


@pytest.fixture
def before(primed: Host) -> Iterator[Snapshot]:
    """All that a test has made is gone after it, also with a shim that slept."""
    found = Snapshot.of(primed)
    yield found
    primed.minirun("rm", "-f", "web", check=False)
    assert_same(primed, found)


def test_it_takes_little_memory_and_stays_the_same_process(primed: Host, before: Snapshot) -> None:
    pid = start(primed, "busybox", "sleep", "1000")
    rollup = primed.sh(f"cat /proc/{pid}/smaps_rollup")
    anonymous = int(next(line.split()[1] for line in rollup.splitlines() if line.startswith("Pss_Anon:")))
    assert anonymous < 200, rollup
    assert shim_of(primed) == pid
    assert state(primed, "Status") == "running"
    # The words that another user may see say whose it is, and no more.
    container = primed.minirun("inspect", "-f", "{{.Id}}", "web").stdout
    assert primed.sh(f"tr '\\0' ' ' < /proc/{pid}/cmdline").split() == ["minirun-shim", container[:12]]


def test_the_end_is_recorded_with_its_code(primed: Host, before: Snapshot) -> None:
    start(primed, "busybox", "sh", "-c", "sleep 1.2; exit 7")
    assert primed.minirun("wait", "web").stdout.strip() == "7"
    assert state(primed, "ExitCode") == "7"
    assert primed.minirun("ps", "-q").stdout == ""


def test_rm_takes_back_everything(primed: Host, before: Snapshot) -> None:
    start(primed, "--rm", "-p", "8080:80", "busybox", "sh", "-c", "sleep 3")
    eventually(lambda: primed.minirun("ps", "-aq").stdout == "", 15)
    assert_same(primed, before)


def test_output_is_logged_each_time(primed: Host, before: Snapshot) -> None:
    pid = start(primed, "-i", "busybox", "sh", "-c", "while :; do sleep 0.5; echo out; echo err >&2; done")
    eventually(lambda: primed.minirun("logs", "web").stdout.count("out") >= 3)
    done = primed.minirun("logs", "web")
    assert abs(done.stdout.count("out") - done.stderr.count("err")) <= 1
    assert shim_of(primed) == pid


def test_more_than_a_pipe_holds(primed: Host, before: Snapshot) -> None:
    start(primed, "busybox", "sh", "-c", "sleep 0.7; head -c 1000000 /dev/zero | tr '\\0' x; sleep 0.5; echo; echo end")
    eventually(lambda: "end" in primed.minirun("logs", "web").stdout, 10)
    assert primed.minirun("logs", "web").stdout.count("x") == 1000000


def test_a_terminal_and_its_input(primed: Host, before: Snapshot) -> None:
    pid = start(primed, "-it", "busybox", "sh")
    script = (
        "import os, pty, sys, time\n"
        "pid, fd = pty.fork()\n"
        f"if not pid: os.execv({MINIRUN!r}, ['minirun', 'attach', 'web'])\n"
        "os.write(fd, b'echo $((6*7))x\\n'); text = b''\n"
        "while b'42x' not in text: text += os.read(fd, 4096)\n"
        "os.write(fd, b'\\x10\\x11'); os.waitpid(pid, 0)\n"
    )
    primed.run(["python3", "-c", script], **SOON)
    eventually(lambda: is_idle(primed, pid))  # again
    assert shim_of(primed) == pid
    primed.minirun("exec", "web", "true")
    assert is_idle(primed, pid)  # exec needs nobody


def test_attach_hears_the_end(primed: Host, before: Snapshot) -> None:
    start(primed, "busybox", "sh", "-c", "sleep 4; echo late; exit 3")
    done = primed.minirun("attach", "web", check=False)
    assert (done.stdout, done.returncode) == ("late\n", 3)


def test_stop_kill_and_restart(primed: Host, before: Snapshot) -> None:
    pid = start(primed, "busybox", "sh", "-c", "trap 'exit 5' TERM; while :; do sleep 0.1; done")
    primed.minirun("stop", "web")
    assert state(primed, "ExitCode") == "5"
    primed.minirun("start", "web", **SOON)
    pid = shim_of(primed)
    eventually(lambda: is_idle(primed, pid))
    primed.minirun("restart", "-t", "1", "web", **SOON)
    pid = shim_of(primed)
    eventually(lambda: is_idle(primed, pid))
    primed.minirun("kill", "web")
    assert primed.minirun("wait", "web").stdout.strip() == "137"


def test_it_is_started_again_by_its_policy(primed: Host, before: Snapshot) -> None:
    pid = start(primed, "--restart", "on-failure:2", "-p", "8080:80", "busybox", "sh", "-c", "sleep 0.8; exit 1")
    eventually(lambda: state(primed, "Status") == "exited", 15)
    assert state(primed, "ExitCode") == "1"
    assert primed.minirun("inspect", "-f", "{{.RestartCount}}", "web").stdout.strip() == "2"
    assert primed.sh(f"ls -d /proc/{pid} 2>/dev/null || true") == ""


def test_ports_are_held_and_changed(primed: Host, before: Snapshot) -> None:
    pid = start(primed, "-p", "8080:80", "busybox", "sleep", "1000")
    bind = "import socket; socket.socket().bind(('0.0.0.0', {}))"
    assert primed.run(["python3", "-c", bind.format(8080)], check=False).returncode
    primed.minirun("port", "add", "web", "8081:80")
    eventually(lambda: is_idle(primed, pid))
    assert primed.run(["python3", "-c", bind.format(8081)], check=False).returncode
    primed.minirun("port", "rm", "web", "8080")
    eventually(lambda: primed.run(["python3", "-c", bind.format(8080)], check=False).returncode == 0)


def test_a_resolver_that_dies_is_started_again(primed: Host) -> None:
    primed.minirun("network", "create", "net")
    start(primed, "--net", "net", "busybox", "sleep", "1000")
    resolver = int(primed.sh("pgrep -f minirun.network.dns").split()[0])
    primed.sh(f"kill -9 {resolver}")
    eventually(lambda: primed.minirun("exec", "web", "nslookup", "web", check=False).returncode == 0)
    primed.minirun("rm", "-f", "web")
    primed.minirun("network", "rm", "net")


def test_a_state_that_cannot_be_opened_is_waited_for(primed: Host, before: Snapshot) -> None:
    start(primed, "busybox", "sh", "-c", "sleep 1; echo out; exit 6")
    primed.sh("cd /var/lib/minirun; mkdir aside; mv state.db* aside; echo nonsense > state.db")
    time.sleep(2.5)
    primed.sh("cd /var/lib/minirun; mv aside/* .; rmdir aside")
    eventually(lambda: state(primed, "Status") == "exited")
    assert (state(primed, "ExitCode"), primed.minirun("logs", "web").stdout) == ("6", "out\n")


def test_one_that_is_killed_takes_its_container_along(primed: Host, before: Snapshot) -> None:
    pid = start(primed, "-p", "8080:80", "busybox", "sleep", "1000")
    primed.sh(f"kill -9 {pid}")
    eventually(lambda: primed.minirun("ps", "-q").stdout == "")
    assert state(primed, "ExitCode") == "137"


def test_a_health_check_keeps_it_awake(primed: Host, before: Snapshot) -> None:
    primed.minirun(
        "run",
        "-d",
        "--name",
        "web",
        "--health-cmd",
        "true",
        "--health-interval",
        "300ms",
        "busybox",
        "sleep",
        "1000",
        **SLEEPS,
    )
    eventually(lambda: state(primed, "Health.Status") == "healthy")
    time.sleep(0.5)
    assert not is_idle(primed, shim_of(primed))


def test_without_patience_it_wakes_for_every_event(primed: Host, before: Snapshot) -> None:
    """As soon as nothing is to be read it sleeps: each line, each word of a client, and the end find it so."""
    script = "for i in $(seq 60); do echo $i; sleep 0.02; done; exit 9"
    primed.minirun("run", "-d", "--name", "web", "busybox", "sh", "-c", script, **SLEEPS)
    assert primed.minirun("wait", "web").stdout.strip() == "9"
    assert primed.minirun("logs", "web").stdout.split() == [str(number) for number in range(1, 61)]


def test_it_can_be_told_not_to(primed: Host, before: Snapshot) -> None:
    primed.minirun("run", "-d", "--name", "web", "busybox", "sleep", "1000", env={**os.environ, "MINIRUN_AWAKE": ""})
    time.sleep(1.5)
    assert not is_idle(primed, shim_of(primed))


def test_nonsense_is_refused(primed: Host) -> None:
    for text in ("soon", "-1", "nan"):
        done = primed.minirun("run", "-d", "busybox", "true", env={**os.environ, "MINIRUN_AWAKE": text}, check=False)
        assert (done.returncode, f"MINIRUN_AWAKE={text}: must be the seconds" in done.stderr) == (125, True), (
            done.stderr
        )
    assert primed.minirun("ps", "-aq").stdout == ""


def test_without_the_program_it_stays_awake(primed: Host, before: Snapshot) -> None:
    primed.sh(f"mount --bind /dev/null {REPO}/minirun/kernel/sleeper")
    primed.minirun("run", "-d", "--name", "web", "busybox", "sleep", "1000", **SOON)
    time.sleep(0.7)
    assert not is_idle(primed, shim_of(primed))
    log = primed.sh("cat /var/lib/minirun/containers/*/shim.log")
    assert log.count("cannot execute the sleeper") == 1
    flags = primed.sh(f"grep -h flags /proc/{shim_of(primed)}/fdinfo/*").split()[1::2]
    assert [int(one, 8) & os.O_CLOEXEC for one in flags].count(0) == 3  # the standard ones: the others go nowhere else
    primed.minirun("stop", "-t", "0", "web")
    primed.sh(f"umount {REPO}/minirun/kernel/sleeper")


def test_a_sigterm_is_heard_asleep(primed: Host, before: Snapshot) -> None:
    """It ends the shim, as it does one that is awake, and the container with it. In a scope of systemd's it ends the
    container first: see tests/stock.py."""
    pid = start(primed, "busybox", "sleep", "1000")
    primed.sh(f"kill -TERM {pid}")
    eventually(lambda: primed.sh(f"ls -d /proc/{pid} 2>/dev/null || true") == "")
    assert primed.minirun("ps", "-q").stdout == ""
    assert state(primed, "ExitCode") == "137"


def test_it_keeps_the_same_files_each_time(primed: Host, before: Snapshot) -> None:
    """None is lost, and none comes to stay: of what is open while it is awake only what is waited for and held."""
    pid = start(primed, "-i", "-p", "8080:80", "busybox", "sh", "-c", "while sleep 0.6; do echo x; done")
    files = idle_kinds(primed, pid)
    assert not [one for one in files if "state.db" in one or "cgroup" in one], files
    for lines in (1, 2, 3):
        eventually(lambda lines=lines: primed.minirun("logs", "web").stdout.count("x") >= lines)
        assert idle_kinds(primed, pid) == files


def idle_kinds(host: Host, pid: int) -> list[str]:
    """What is open while it sleeps: the program that it serves wakes it at any time, also while this is read."""

    def look() -> list[str]:
        assert is_idle(host, pid)
        first, second = kinds(host, pid), kinds(host, pid)
        assert first == second
        assert is_idle(host, pid)
        return first

    return eventually(look)


def kinds(host: Host, pid: int) -> list[str]:
    """What each descriptor is of, without the numbers of pipes and sockets."""
    lines = host.sh(f"for f in /proc/{pid}/fd/*; do readlink $f; done").split()
    return sorted(re.sub(r"\d+", "", line) for line in lines)


@pytest.mark.skipif(not fork_server.is_wanted(), reason="the command line is tried without the fork server")
def test_an_end_takes_no_new_python(primed: Host, before: Snapshot) -> None:
    pid = start(primed, "-p", "8080:80", "busybox", "sh", "-c", "echo out; sleep 1000")
    tracer = primed.popen(["strace", "-f", "-e", "trace=execve", "-o", "/run/trace", "-p", str(pid)])
    eventually(lambda: "TracerPid:\t0" not in primed.sh(f"cat /proc/{pid}/status"))
    primed.minirun("stop", "-t0", "web")
    tracer.wait(10)
    trace = primed.sh("cat /run/trace")
    assert ('"shim-end"' in trace, "python" in trace) == (True, False), trace
    assert (state(primed, "Status"), state(primed, "ExitCode")) == ("exited", "137")
    assert primed.minirun("logs", "web").stdout == "out\n"


def test_a_restart_policy_that_is_set_meanwhile_counts(primed: Host, before: Snapshot) -> None:
    pid = start(primed, "busybox", "sleep", "1000")
    primed.minirun("update", "--restart=always", "web")
    eventually(lambda: is_idle(primed, pid))
    first = state(primed, "Pid")
    primed.sh(f"kill -9 {first}")
    eventually(lambda: state(primed, "Status") == "running" and state(primed, "Pid") not in (first, "0"))
    primed.minirun("rm", "-f", "web")


def test_what_the_sleeper_types_is_no_command(primed: Host) -> None:
    done = primed.minirun("shim-end", "0", "5", check=False)
    assert (done.returncode, "unknown command: minirun shim-end" in done.stderr) == (1, True), done.stderr
