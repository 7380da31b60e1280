"""A container whose shim was killed: told of, and started again as its restart policy says."""

import subprocess
from collections.abc import Iterator

import pytest

from tests.harness import Host, Snapshot, assert_same, eventually
from tests.harness.fault_sweep import Done, sweep_faults
from tests.harness.host import MINIRUN

LOST = "the shim of this container was killed, and the container with it"


def kill_shim(host: Host, *names: str) -> None:
    """All at once: the next command starts lost ones again."""
    pids = host.minirun("inspect", "-f", "{{.State.MonitorPid}} {{.State.Pid}}", *names).stdout.split()
    host.sh(f"kill -9 {' '.join(pids[::2])}")
    for pid in pids[1::2]:
        eventually(lambda pid=pid: host.sh(f"[ -d /proc/{pid} ] || echo gone") == "gone\n")


def state(host: Host, name: str) -> str:
    return str(host.minirun("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", name).stdout.strip())


@pytest.fixture
def town(primed: Host) -> Iterator[Host]:
    before = Snapshot.of(primed)
    yield primed
    primed.minirun("rm", "-f", "web", "other", check=False)
    assert_same(primed, before)


@pytest.mark.parametrize("policy", ["always", "unless-stopped", "on-failure", "on-failure:3"])
def test_it_comes_back(town: Host, policy: str) -> None:
    town.minirun("run", "-d", "--name", "web", f"--restart={policy}", "-p", "8080:80", "busybox", "sleep", "1000")
    kill_shim(town, "web")
    name = policy.partition(":")[0]
    assert town.minirun("ps").stderr == f"minirun: container web: {LOST}; it starts again (--restart={name})\n"
    eventually(lambda: state(town, "web") == "running 0", 15)
    assert town.minirun("ps").stderr == ""
    assert "8080" in town.minirun("port", "web").stdout
    kill_shim(town, "web")  # and once more
    town.minirun("ps")
    eventually(lambda: state(town, "web") == "running 0", 15)


def test_one_process_starts_all_of_them(town: Host) -> None:
    for name in ("web", "other"):
        town.minirun("run", "-d", "--name", name, "--restart=always", "busybox", "sleep", "1000")
    kill_shim(town, "web", "other")
    assert town.minirun("ps").stderr.count("it starts again (--restart=always)") == 2
    assert town.sh("pgrep -fc '[s]ystem start --lost'").strip() == "1"
    for name in ("web", "other"):
        eventually(lambda name=name: state(town, name) == "running 0", 15)


def test_a_command_that_is_killed_meanwhile_loses_none(town: Host) -> None:
    """At each of its operations: the end, its cleanup, and the new start."""
    town.minirun("run", "-d", "--name", "web", "--restart=always", "-p", "8080:80", "busybox", "sleep", "1000")

    def prepare() -> None:
        eventually(lambda: town.minirun("inspect", "-f", "{{.State.Status}}", "web").stdout == "running\n", 15)
        kill_shim(town, "web")

    def check(_: Done) -> None:
        eventually(lambda: (town.minirun("ps"), state(town, "web"))[1] == "running 0", 15)

    sweep_faults(town, "kill", ["ps"], check, prepare=prepare, least=3)


@pytest.mark.parametrize("flags", [(), ("--restart=no",)])
def test_without_a_policy_it_is_told_once(town: Host, flags: tuple[str, ...]) -> None:
    town.minirun("run", "-d", "--name", "web", *flags, "busybox", "sleep", "1000")
    kill_shim(town, "web")
    assert town.minirun("ps").stderr == f"minirun: container web: {LOST}\n"
    assert town.minirun("ps").stderr == ""
    assert state(town, "web") == "exited 137"
    assert town.minirun("system", "start", "--lost").stdout == ""
    assert state(town, "web") == "exited 137"


def test_one_with_rm_is_gone(town: Host) -> None:
    town.minirun("run", "-d", "--rm", "--name", "web", "busybox", "sleep", "1000")
    kill_shim(town, "web")
    assert town.minirun("ps", "-a").stderr == ""
    assert town.minirun("ps", "-aq").stdout == ""


@pytest.mark.parametrize("verb", [["stop"], ["kill"], ["rm", "-f"]])
def test_who_ends_it_just_now_is_obeyed(town: Host, verb: list[str]) -> None:
    town.minirun("run", "-d", "--name", "web", "--restart=always", "busybox", "sleep", "1000")
    town.minirun("run", "-d", "--name", "other", "--restart=always", "busybox", "sleep", "1000")
    kill_shim(town, "web", "other")
    town.minirun(*verb, "web", check=False)
    eventually(lambda: state(town, "other") == "running 0", 15)  # started by the same process, after it
    left = town.minirun("ps", "-q", "--filter", "name=web").stdout
    assert left == ""


def test_the_command_that_is_attached_tells_and_starts_it(town: Host) -> None:
    words = ["run", "--name", "web", "--restart=always", "busybox", "sh", "-c", "echo up; sleep 1000"]
    process = town.popen([MINIRUN, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"up\n"
    kill_shim(town, "web")
    _, errors = process.communicate(timeout=10)
    assert process.returncode == 137
    assert LOST in errors.decode()
    eventually(lambda: state(town, "web") == "running 0", 15)


def test_the_doctor_names_it_and_starts_it_only_with_fix(town: Host) -> None:
    town.minirun("run", "-d", "--name", "web", "--restart=always", "busybox", "sleep", "1000")
    kill_shim(town, "web")
    said = town.minirun("doctor", "--quick", check=False)
    assert "problem: web (--restart=always) was killed with its shim, and has not been started again" in said.stdout
    assert "do: minirun system start --lost" in said.stdout
    assert state(town, "web") == "exited 137"
    assert "\nrepaired: web" in "\n" + town.minirun("doctor", "--quick", "--fix", check=False).stderr
    assert state(town, "web") == "running 0"
    assert "killed with its shim" not in town.minirun("doctor", "--quick").stdout


def test_the_doctor_finds_a_full_disk(host: Host) -> None:
    host.sh("mount -o remount,size=24m /var/lib/minirun")
    host.minirun("run", "--rm", "busybox", "true")
    assert "is full" not in host.minirun("doctor", "--quick").stdout
    host.sh("dd if=/dev/zero of=/var/lib/minirun/ballast bs=1M 2>/dev/null", check=False)
    said = host.minirun("doctor", "--quick", check=False)
    assert said.returncode == 1
    assert "problem: the file system of /var/lib/minirun is full" in said.stdout
    assert "KiB free" in said.stdout
