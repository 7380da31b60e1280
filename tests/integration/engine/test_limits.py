"""Limits of a container: kept, updated, and no group left behind."""

import json

from tests.harness import Host, eventually
from tests.harness.host import MINIRUN


def _group(host: Host, controller: str, name: str, file: str) -> str:
    found = json.loads(host.minirun("inspect", name).stdout)[0]["Id"]
    return host.sh(f"cat /sys/fs/cgroup/{controller}/minirun/{found}/{file}").strip()


def test_limits_are_kept(hybrid: Host) -> None:
    groups = hybrid.sh("find /sys/fs/cgroup -name minirun")
    flags = ["--memory=64m", "--pids-limit=5", "--cpu-shares=512", "--cpus=0.5"]
    hybrid.minirun("run", "-d", "--name", "web", *flags, "busybox", "sleep", "1000")
    pid = str(json.loads(hybrid.minirun("inspect", "web").stdout)[0]["State"]["Pid"])
    assert pid in _group(hybrid, "memory", "web", "cgroup.procs").split()
    assert _group(hybrid, "memory", "web", "memory.limit_in_bytes") == str(64 << 20)
    assert _group(hybrid, "pids", "web", "pids.max") == "5"
    done = hybrid.minirun("exec", "web", "sh", "-c", "for i in 1 2 3 4 5 6 7 8; do sleep 5 & done", check=False)
    assert "can't fork" in done.stderr
    hybrid.minirun("update", "--memory=128m", "--pids-limit=50", "web")
    assert _group(hybrid, "memory", "web", "memory.limit_in_bytes") == str(128 << 20)
    assert _group(hybrid, "pids", "web", "pids.max") == "50"
    hybrid.minirun("rm", "-f", "web")
    assert hybrid.sh("find /sys/fs/cgroup -name minirun") == groups


def test_out_of_memory_is_told(hybrid: Host) -> None:
    hybrid.minirun("run", "--name", "hog", "--memory=8m", "busybox", "tail", "/dev/zero", check=False)
    state = json.loads(hybrid.minirun("inspect", "hog").stdout)[0]["State"]
    assert (state["ExitCode"], state["OOMKilled"]) == (137, True)
    hybrid.minirun("rm", "hog")


def test_limits_for_one_that_has_none(hybrid: Host) -> None:
    hybrid.minirun("run", "-d", "--name", "web", "busybox", "sleep", "1000")
    hybrid.minirun("update", "--memory=64m", "--restart=always", "web")
    assert _group(hybrid, "memory", "web", "memory.limit_in_bytes") == str(64 << 20)
    assert json.loads(hybrid.minirun("inspect", "web").stdout)[0]["HostConfig"]["RestartPolicy"]["Name"] == "always"
    hybrid.minirun("stop", "-t0", "web")
    hybrid.minirun("start", "web")
    assert _group(hybrid, "memory", "web", "memory.limit_in_bytes") == str(64 << 20)
    done = hybrid.minirun("update", "--memory=1k", "web", check=False)
    assert (done.returncode, "Minimum memory limit" in done.stderr) == (1, True)
    hybrid.minirun("rm", "-f", "web")


def test_a_killed_start_with_limits_leaves_no_group(hybrid: Host) -> None:
    groups = hybrid.sh("find /sys/fs/cgroup -name minirun")
    for delay in (0.03, 0.05, 0.07, 0.1):
        hybrid.sh(f"timeout -s KILL {delay} {MINIRUN} run -d --memory=64m busybox sleep 1000", check=False)
    eventually(lambda: hybrid.minirun("ps", "-q").returncode == 0)
    hybrid.sh(f"{MINIRUN} rm -f $({MINIRUN} ps -aq)", check=False)
    assert hybrid.sh("find /sys/fs/cgroup -name minirun") == groups
