"""What a container cannot do to others: by processes, memory, its layer and its log."""

import json
import time

import pytest

from tests.harness import Host, eventually

ALONE = ("--rm", "--net=none")


def pids_group(host: Host, name: str) -> str:
    identity = host.minirun("inspect", "-f", "{{.Id}}", name).stdout.strip()
    return f"/sys/fs/cgroup/pids/minirun/{identity}"


@pytest.fixture
def pids(hybrid: Host) -> Host:
    if not hybrid.sh("ls -d /sys/fs/cgroup/pids 2>/dev/null", check=False):
        pytest.skip("this machine has no pids controller")
    return hybrid


def test_a_fork_bomb_ends_at_the_default_limit_and_the_host_stays_responsive(pids: Host) -> None:
    # The first process forks once: a shell that cannot fork ends, and the container with it.
    bomb = "{ sleep 0.2; b() { while :; do b & done 2>/dev/null; }; b & b & b; } & exec sleep 1000"
    pids.minirun("run", "-d", "--name", "bomb", "--net=none", "busybox", "sh", "-c", bomb)
    assert pids.minirun("inspect", "-f", "{{.HostConfig.PidsLimit}}", "bomb").stdout == "2048\n"
    group = pids_group(pids, "bomb")
    eventually(lambda: int(pids.sh(f"cat {group}/pids.current")) >= 1500, 20)
    began = time.monotonic()
    pids.minirun("run", *ALONE, "busybox", "true")
    assert int(pids.sh(f"cat {group}/pids.current")) <= 2048
    pids.minirun("kill", "bomb")
    pids.minirun("rm", "-f", "bomb")
    assert time.monotonic() - began < 15
    assert pids.sh(f"ls -d {group} 2>/dev/null", check=False) == ""


@pytest.mark.parametrize(("words", "most"), [((), "2048"), (("--pids-limit", "7"), "7")])
def test_the_first_process_and_exec_are_within_the_limit(pids: Host, words: tuple[str, ...], most: str) -> None:
    pids.minirun("run", "-d", "--name", "web", "--net=none", *words, "busybox", "sleep", "1000")
    group = pids_group(pids, "web")
    assert pids.sh(f"cat {group}/pids.max {group}/pids.current").split() == [most, "1"]
    pids.minirun("exec", "-d", "web", "sleep", "1000")
    assert pids.sh(f"cat {group}/pids.current").strip() == "2"
    assert pids.minirun("exec", "web", "grep", ":pids:", "/proc/self/cgroup").stdout.endswith(":pids:/\n")
    pids.minirun("rm", "-f", "web")


@pytest.mark.parametrize("limit", ["0", "-1"])
def test_who_asks_for_no_limit_has_none(pids: Host, limit: str) -> None:
    pids.minirun("run", "-d", "--name", "free", "--net=none", "--pids-limit", limit, "busybox", "sleep", "1000")
    group = pids_group(pids, "free")
    assert pids.sh(f"cat {group}/pids.max 2>/dev/null", check=False).strip() in ("", "max")
    pids.minirun("rm", "-f", "free")


def test_an_update_of_another_limit_keeps_the_default(pids: Host) -> None:
    pids.minirun("run", "-d", "--name", "web", "--net=none", "busybox", "sleep", "1000")
    pids.minirun("update", "--cpu-shares", "512", "web")
    assert pids.sh(f"cat {pids_group(pids, 'web')}/pids.max").strip() == "2048"
    pids.minirun("rm", "-f", "web")


def test_what_eats_memory_is_killed_alone(hybrid: Host) -> None:
    bounds = ("-m", "32m", "--memory-swap", "32m")
    hybrid.minirun("run", "-d", "--name", "calm", "--net=none", *bounds, "busybox", "sleep", "1000")
    words = ("busybox", "sh", "-c", "x=a; while :; do x=$x$x; done")
    done = hybrid.minirun("run", "--name", "eater", "--net=none", *bounds, *words, check=False)
    assert done.returncode == 137
    state = json.loads(hybrid.minirun("inspect", "eater").stdout)[0]["State"]
    assert (state["Status"], state["OOMKilled"]) == ("exited", True)
    calm = json.loads(hybrid.minirun("inspect", "calm").stdout)[0]["State"]
    assert (calm["Status"], calm["OOMKilled"]) == ("running", False)
    hybrid.minirun("rm", "-f", "calm", "eater")


def test_a_layer_and_a_log_that_fill_the_disk_harm_no_other(host: Host) -> None:
    """What runs goes on, what has ended is told, and with the one gone all is as before."""
    host.minirun("run", "--rm", "busybox", "true")
    host.sh("mount -o remount,size=24m /var/lib/minirun")
    host.minirun("run", "-d", "--name", "calm", "busybox", "sh", "-c", "while :; do date > /tmp/now; sleep 0.1; done")
    host.minirun("run", "-d", "--name", "layer", "--net=none", "busybox", "sh", "-c", "cat /dev/zero > /fill; sleep 99")
    eventually(lambda: host.sh("df --output=avail /var/lib/minirun").split()[1] == "0", 20)
    host.minirun("run", "-d", "--name", "loud", "--net=none", "busybox", "sh", "-c", "yes; sleep 99", check=False)
    time.sleep(0.5)
    assert host.minirun("inspect", "-f", "{{.State.Status}}", "calm").stdout == "running\n"
    assert host.minirun("exec", "calm", "true").returncode == 0
    host.minirun("rm", "-f", "layer")
    host.minirun("rm", "-f", "loud", check=False)
    assert host.minirun("run", *ALONE, "busybox", "echo", "again").stdout == "again\n"
    before = host.minirun("exec", "calm", "cat", "/tmp/now").stdout
    eventually(lambda: host.minirun("exec", "calm", "cat", "/tmp/now").stdout != before)
