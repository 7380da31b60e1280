"""On a machine that was booted for it, by `scripts/bare-machine boot`: Debian's kernel, systemd, cgroup v2, and nothing
around it. What is made here is made on that machine itself."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness import eventually
from tests.harness.host import MINIRUN

TOP = Path("/sys/fs/cgroup")
SERVE = ("busybox", "httpd", "-f", "-h", "/var/www")


def sh(script: str, check: bool = True) -> str:
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=False, timeout=120)
    assert not check or done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def minirun(*words: str, check: bool = True) -> "subprocess.CompletedProcess[str]":
    done = subprocess.run([MINIRUN, *words], capture_output=True, text=True, check=False, timeout=120)
    assert not check or done.returncode == 0, f"{words} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def state(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(minirun("inspect", name).stdout)[0]["State"]
    return found


def group(name: str) -> Path:
    found = sh(f"find {TOP} -type d -name {json.loads(minirun('inspect', name).stdout)[0]['Id']}").split()
    assert len(found) == 1, found
    return Path(found[0])


@pytest.fixture(autouse=True)
def alone() -> Iterator[None]:
    """Each test leaves the machine without containers, and without what they had."""
    yield
    names = minirun("ps", "-aq").stdout.split()
    if names:
        minirun("rm", "-f", *names)
    minirun("network", "prune", "-f")
    eventually(lambda: sh(f"find {TOP} -type d -regextype posix-extended -regex '.*/[0-9a-f]{{64}}'") == "")
    eventually(lambda: "veth" not in sh("ip link"))
    assert sh("ls /run/netns 2>/dev/null; mount | grep -c containers/", check=False).strip() == "0"


def test_the_machine_is_what_it_is_meant_to_be() -> None:
    assert Path("/proc/1/comm").read_text() == "systemd\n"
    assert "pids" in (TOP / "cgroup.controllers").read_text()
    assert "cloud" in sh("uname -r")
    assert minirun("info", "--format", "{{.CgroupVersion}}").stdout == "2\n"


def test_limits_are_in_force() -> None:
    flags = ("-m", "64m", "--memory-reservation", "32m", "--cpus", "0.5", "--cpu-shares", "512")
    more = ("--pids-limit", "50", "--cpuset-cpus", "0")
    minirun("run", "-d", "--name", "web", "--net=none", *flags, *more, "busybox", "sleep", "1000")
    place = group("web")
    wanted = {"memory.max": str(64 << 20), "memory.low": str(32 << 20), "pids.max": "50", "cpuset.cpus": "0"}
    assert {name: (place / name).read_text().strip() for name in wanted} == wanted
    assert (place / "cpu.max").read_text() == "50000 100000\n"
    assert str(json.loads(minirun("inspect", "web").stdout)[0]["State"]["Pid"]) in (place / "cgroup.procs").read_text()
    assert minirun("exec", "web", "cat", "/proc/self/cgroup").stdout == "0::/\n"
    minirun("update", "-m", "128m", "--memory-swap", "-1", "web")
    assert (place / "memory.max").read_text() == f"{128 << 20}\n"
    assert "web" in minirun("stats", "--no-stream").stdout


def test_the_default_limit_of_processes() -> None:
    minirun("run", "-d", "--name", "web", "--net=none", "busybox", "sleep", "1000")
    assert (group("web") / "pids.max").read_text() == "2048\n"


def test_what_eats_memory_is_killed_alone_and_told_of() -> None:
    minirun("run", "-d", "--name", "calm", "--net=none", "-m", "32m", "busybox", "sleep", "1000")
    words = ("busybox", "sh", "-c", "x=a; while :; do x=$x$x; done")
    done = minirun("run", "--name", "eater", "--net=none", "-m", "32m", *words, check=False)
    assert done.returncode == 137
    assert state("eater")["OOMKilled"]
    assert state("calm")["Running"]


def test_pause_and_kill_take_all_of_a_container() -> None:
    minirun("run", "-d", "--name", "web", "--net=none", "busybox", "sh", "-c", "sleep 1000 & sleep 1000")
    place = group("web")
    minirun("pause", "web")
    assert "frozen 1" in (place / "cgroup.events").read_text()
    minirun("unpause", "web")
    assert "frozen 0" in (place / "cgroup.events").read_text()
    minirun("kill", "web")
    assert state("web")["ExitCode"] == 137


def test_networks() -> None:
    """In by a published port, from one to another by name, and back from a flush."""
    minirun("network", "create", "net")
    minirun("run", "-d", "--wait", "--name", "web", "--net", "net", "-p", "8080:80", *SERVE)
    fetch = "timeout 10 busybox wget -qO- http://127.0.0.1:8080/"
    assert "minirun" in sh(fetch)
    asked = ("busybox", "timeout", "20", "wget", "-qO-", "http://web/")
    assert "minirun" in minirun("run", "--rm", "--net", "net", *asked).stdout
    sh("nft flush ruleset")
    minirun("network", "reload")
    assert "minirun" in sh(fetch)
    minirun("port", "add", "web", "9090:80")
    assert "minirun" in sh(fetch.replace("8080", "9090"))


def test_system_calls_are_filtered() -> None:
    assert "Seccomp:\t2" in minirun("run", "--rm", "--net=none", "busybox", "cat", "/proc/self/status").stdout
    assert minirun("run", "--rm", "--net=none", "busybox", "unshare", "-U", "true", check=False).returncode != 0


def test_the_service_starts_what_is_to_run() -> None:
    minirun("run", "-d", "--restart", "always", "--name", "web", "--net=none", "busybox", "sleep", "1000")
    pid = sh("ps -o ppid= -p " + str(state("web")["Pid"])).strip()
    sh(f"kill -9 {pid}")
    eventually(lambda: minirun("ps", "-q").stdout == "", 20)
    sh(
        f"ln -sf {MINIRUN} /usr/local/bin/minirun; cp packaging/minirun.service /etc/systemd/system/;"
        " systemctl daemon-reload"
    )
    sh("systemctl start minirun.service")
    assert state("web")["Running"]
    sh("systemctl stop minirun.service", check=False)
