"""On a machine that was booted for it, by `scripts/bare-machine boot`: Debian's kernel, systemd, cgroup v2, and nothing
around it. What is made here is made on that machine itself."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness import snapshot
from tests.harness.host import MINIRUN

TOP = Path("/sys/fs/cgroup")
SERVE = ("busybox", "httpd", "-f", "-h", "/var/www")


_EMULATED = 6  # times slower: qemu emulates the processor


def eventually(look: Callable[[], Any], seconds: float = 5) -> Any:
    """As on other hosts, with the patience that an emulated machine needs."""
    return snapshot.eventually(look, seconds * _EMULATED)


def sh(script: str, check: bool = True) -> str:
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=False, timeout=100 * _EMULATED)
    assert not check or done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def minirun(*words: str, check: bool = True) -> "subprocess.CompletedProcess[str]":
    done = subprocess.run([MINIRUN, *words], capture_output=True, text=True, check=False, timeout=100 * _EMULATED)
    assert not check or done.returncode == 0, f"{words} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def state(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(minirun("inspect", name).stdout)[0]["State"]
    return found


def unit(name: str) -> str:
    return f"minirun-{json.loads(minirun('inspect', name).stdout)[0]['Id']}.scope"


def group(name: str) -> Path:
    return TOP / "system.slice" / unit(name) / "container"


def units() -> str:
    return sh("systemctl list-units --all --plain --no-legend 'minirun-*.scope'")


@pytest.fixture(autouse=True)
def alone() -> Iterator[None]:
    """Each test leaves the machine without containers, and without what they had."""
    yield
    names = minirun("ps", "-aq").stdout.split()
    if names:
        minirun("rm", "-f", *names)
    minirun("network", "prune", "-f")
    eventually(lambda: units() == "")
    assert sh(f"find {TOP} -name 'minirun*.scope' -o -name minirun") == ""
    eventually(lambda: "veth" not in sh("ip link"))
    eventually(lambda: sh("ls /run/netns 2>/dev/null; mount | grep -c containers/", check=False).strip() == "0")


def test_the_machine_is_what_it_is_meant_to_be() -> None:
    assert Path("/proc/1/comm").read_text() == "systemd\n"
    assert "pids" in (TOP / "cgroup.controllers").read_text()
    assert "cloud" in sh("uname -r")
    assert minirun("info", "--format", "{{.CgroupVersion}} {{.CgroupDriver}}").stdout == "2 systemd\n"


def test_each_container_has_a_scope_that_systemd_has_given_away() -> None:
    minirun("run", "-d", "--name", "web", "--net=none", "-m", "64m", "busybox", "sleep", "1000")
    shown = sh(f"systemctl show -p Delegate,ActiveState,TasksMax,TimeoutStopUSec,Description {unit('web')}").split("\n")
    assert set(shown) >= {
        "Delegate=yes",
        "ActiveState=active",
        "TasksMax=infinity",
        "TimeoutStopUSec=10s",
        "Description=minirun container web",
    }
    monitor = sh("ps -o ppid= -p " + str(state("web")["Pid"])).strip()
    assert sh(f"cat /proc/{monitor}/cgroup") == f"0::/system.slice/{unit('web')}/monitor\n"
    # What systemd does with groups that are its own: it would take the controllers away again.
    sh("systemctl daemon-reload; systemctl restart systemd-udevd; systemctl set-property system.slice MemoryHigh=2G")
    assert (group("web") / "memory.max").read_text() == f"{64 << 20}\n"
    assert "memory" in (group("web").parent / "cgroup.subtree_control").read_text()
    for _ in range(3):  # the next scope has the name of the one that is going
        minirun("restart", "-t", "0", "web")
    assert state("web")["Running"]
    assert len(units().splitlines()) == 1


def test_who_started_it_may_go() -> None:
    """As somebody who logs out, and whose processes are killed then."""
    words = f"{MINIRUN} run -d --name web --net=none busybox sleep 1000"
    sh(f"systemd-run --wait --collect --property=KillMode=control-group {words}")
    assert state("web")["Running"]


@pytest.mark.parametrize("patience", ["0.2", ""], ids=["idle", "awake"])
def test_the_end_of_the_host_is_told_to_the_program(patience: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINIRUN_AWAKE", patience)
    script = "trap 'echo farewell; exit 3' TERM; echo ready; while :; do sleep 0.1; done"
    minirun("run", "-d", "--name", "web", "--restart=always", "--net=none", "busybox", "sh", "-c", script)
    eventually(lambda: "ready" in minirun("logs", "web").stdout, 20)
    monitor = Path(f"/proc/{state('web')['MonitorPid']}/cmdline")
    eventually(lambda: monitor.read_text().startswith("minirun-shim") == bool(patience), 20)
    sh(f"systemctl stop {unit('web')}")
    eventually(lambda: not state("web")["Running"], 20)
    assert state("web")["ExitCode"] == 3
    assert "farewell" in minirun("logs", "web").stdout
    minirun("system", "start")
    assert state("web")["Running"]


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


def test_user_namespaces() -> None:
    """On Debian's kernel, and on ext4, where layers and volumes lie."""
    flags = ("--userns=auto", "-p", "8080:80", "-v", "data:/data", "-m", "64m")
    minirun("run", "-d", "--wait", "--name", "web", *flags, *SERVE)
    assert "minirun" in sh("timeout 10 busybox wget -qO- http://127.0.0.1:8080/")
    assert sh(f"ps -o uid= -p {state('web')['Pid']}").strip() == "524288"
    assert minirun("exec", "web", "sh", "-c", "id -u; touch /a /data/b; stat -c %u /a /data/b").stdout == "0\n0\n0\n"
    assert sh("stat -c %u /var/lib/minirun/volumes/data/_data/b") == "0\n"
    assert (group("web") / "memory.max").read_text() == f"{64 << 20}\n"
    done = minirun("run", "--rm", "--userns=auto", "-v", "/run/lock:/l", "busybox", "true", check=False)
    assert "cannot show its files under other ids: /run/lock" in done.stderr  # tmpfs can since Linux 6.3
    minirun("rm", "-f", "web")
    minirun("volume", "rm", "data")


PROFILE = """
profile minirun-test flags=(attach_disconnected) {
  file,
  capability,
  signal,
  deny /tmp/** w,
}
"""


def test_apparmor() -> None:
    """The default profile is loaded by whoever needs it first; another one by its owner."""
    label = ("cat", "/proc/self/attr/current")
    assert minirun("run", "--rm", "--net=none", "busybox", *label).stdout == "minirun-default (enforce)\n"
    assert "minirun-default (enforce)" in sh("cat /sys/kernel/security/apparmor/profiles")
    assert "name=apparmor" in minirun("info").stdout
    # It holds where masks are taken away, and for root with all capabilities.
    flags = ("--security-opt", "systempaths=unconfined", "--cap-add=all", "--net=none")
    free = ("--security-opt", "apparmor=unconfined")
    for what in ("mount -t tmpfs none /tmp", "echo x > /proc/sys/kernel/domainname"):
        tried = ("busybox", "sh", "-c", f"({what}) 2>/dev/null && echo done")
        assert minirun("run", "--rm", *flags, *tried, check=False).stdout == "", what
        assert minirun("run", "--rm", *flags, *free, *tried).stdout == "done\n", what
    assert minirun("run", "--rm", *flags, *free, "busybox", *label).stdout == "unconfined\n"
    assert minirun("run", "--rm", "--privileged", "--net=none", "busybox", *label).stdout == "unconfined\n"
    done = minirun("run", "--rm", "--security-opt", "apparmor=minirun-test", "busybox", "true", check=False)
    assert "no such profile is loaded" in done.stderr
    Path("/run/profile").write_text(PROFILE)
    sh("apparmor_parser --replace /run/profile")
    for more in ((), ("--init",), ("--userns=auto",), ("-u", "1000"), ("--security-opt", "no-new-privileges")):
        own = ("--name", "web", "--net=none", "--security-opt", "apparmor=minirun-test", *more)
        minirun("run", "-d", *own, "busybox", "sleep", "1000")
        assert minirun("exec", "web", *label).stdout == "minirun-test (enforce)\n", more
        assert minirun("exec", "web", "sh", "-c", "touch /tmp/x || echo denied").stdout == "denied\n"
        assert minirun("exec", "--privileged", "web", *label).stdout == "unconfined\n"
        assert minirun("stop", "-t", "1", "web").returncode == 0
        minirun("rm", "web")


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


def test_systemd_starts_the_fork_server_for_its_socket() -> None:
    """As the comment of the unit says."""
    lines = Path("packaging/minirun-forkserver.socket").read_text().splitlines()
    commands = [line.removeprefix("#   ") for line in lines if line.startswith("#   ")]
    take_back = next(line.partition(": ")[2] for line in lines if line.startswith("# To take it back: "))
    sh("\n".join([f"ln -sf {MINIRUN} /usr/local/bin/minirun", "set -e", *commands]))
    try:
        for _ in range(2):
            done = subprocess.run(
                [MINIRUN, "info", "--format", "{{.ForkServer.Pid}}"],
                env={**os.environ, "MINIRUN_DEBUG": "1"},
                capture_output=True,
                text=True,
                check=True,
                timeout=100 * _EMULATED,
            )
            assert done.stderr == ""  # the launcher would say that it did without
            assert sh("systemctl show -p MainPID --value minirun-forkserver.service") == done.stdout
            sh("systemctl stop minirun-forkserver.service")  # the socket stays
    finally:
        sh(f"{take_back}; rm -f /etc/systemd/system/minirun-forkserver.*; systemctl daemon-reload", check=False)


def test_a_delay_by_netem() -> None:
    """Debian's kernel has it: what a container sends waits, and what it receives; a rate beside it is netem's, too."""
    minirun("run", "-d", "--name", "slow", "busybox", "sleep", "1000")
    address = minirun("inspect", "--format", "{{.NetworkSettings.IPAddress}}", "slow").stdout.strip()
    before = sh("tc qdisc; ip netns exec slow tc qdisc")

    def round_trip() -> float:
        """The quickest of five, in milliseconds."""
        return float(
            minirun("exec", "slow", "ping", "-c", "5", "-i", "0.2", gateway).stdout.rpartition("= ")[2].split("/")[0]
        )

    gateway = address.rpartition(".")[0] + ".1"
    plain = round_trip()
    minirun("fault", "delay", "slow", "--time", "200ms", "--direction", "out")
    assert 200 <= round_trip() < 300 + plain
    minirun("fault", "delay", "slow", "--time", "150ms", "--jitter", "10ms", "--direction", "in")
    minirun("fault", "bandwidth", "slow", "--rate", "10mbit")
    assert 330 <= round_trip() < 450 + plain
    shown = sh("tc qdisc show dev $(ip -o link | grep -o 'veth[^@]*'); ip netns exec slow tc qdisc show dev eth0")
    assert shown.count("netem") == 2
    assert "delay 200ms" in shown
    assert "delay 150ms  10ms" in shown
    assert shown.count("rate 10Mbit") == 2
    minirun("fault", "rm", "--all")
    assert sh("tc qdisc; ip netns exec slow tc qdisc") == before
    minirun("rm", "-f", "slow")
