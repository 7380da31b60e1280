"""A fault, or a SIGKILL, at every kernel operation of a start and a stop: nothing is left after the next command."""

import random
import subprocess
import sys
import time
from functools import partial

import pytest

from tests.harness import Host, Snapshot, assert_same, eventually
from tests.harness.fault_sweep import Done, count_operations, inject_fault, sweep_faults
from tests.harness.host import MINIRUN

STARTS = {
    "bridge": ["run", "--rm", "-p", "8080:80", "busybox", "true"],
    "none": ["run", "--rm", "--net=none", "busybox", "true"],
    "container": ["run", "--rm", "--net=container:base", "busybox", "true"],
    "userns": ["run", "--rm", "--userns=auto", "-p", "8080:80", "-v", "/etc:/b:ro", "busybox", "true"],
    "host": ["run", "--rm", "--net=host", "-t", "busybox", "true"],
}


@pytest.mark.parametrize("how", ["fail", "kill"])
@pytest.mark.parametrize("mode", list(STARTS))
def test_a_start_and_its_end(primed: Host, mode: str, how: str) -> None:
    """All operations of the default mode, and of the others those that it does not have, and some."""
    primed.minirun("run", "-d", "--name", "base", "busybox", "sleep", "1000")
    before = Snapshot.of(primed)
    besides = [STARTS["bridge"]] if mode != "bridge" else []
    settle = partial(primed.minirun, "ps", "-a")
    sweep_faults(primed, how, STARTS[mode], before=before, settle=settle, least=31, besides=besides)
    primed.minirun("run", "--rm", "-p", "8080:80", "busybox", "true")


def test_a_start_right_after_a_killed_one(primed: Host) -> None:
    """Its shim undoes it, and holds its port and its name until then: the next command waits for that."""
    for step in range(6, 18):
        inject_fault(primed, "kill", step, [*STARTS["userns"][:2], "--name", "web", *STARTS["userns"][2:]])
        primed.minirun("run", "--rm", "--name", "web", "-p", "8080:80", "busybox", "true")


@pytest.mark.parametrize("how", ["fail", "kill"])
def test_starting_a_stopped_container(primed: Host, how: str) -> None:
    """Whatever fails, it is a stopped container again, which can be started and removed."""
    primed.minirun("run", "--name", "web", "-p", "8080:80", "busybox", "true")
    eventually(lambda: "veth" not in primed.sh("ip link"))
    before = Snapshot.of(primed)

    def check(_: Done) -> None:
        eventually(lambda: "Exited" in primed.minirun("ps", "-a").stdout)  # the shim may still be cleaning up

    sweep_faults(primed, how, ["start", "-a", "web"], check, before=before, least=31)
    primed.minirun("start", "-a", "web")
    primed.minirun("rm", "web")


@pytest.mark.parametrize("how", ["fail", "kill"])
@pytest.mark.parametrize("verb", ["pause", "unpause", "rename"])
def test_what_is_done_to_a_running_container(primed: Host, verb: str, how: str) -> None:
    before = Snapshot.of(primed)

    def prepare() -> None:
        primed.minirun("run", "-d", "--name", "web", "busybox", "sleep", "1000")
        if verb == "unpause":
            primed.minirun("pause", "web")

    def check(_: Done) -> None:
        primed.minirun("rm", "-f", "web", "next", timeout=10)

    words = [verb, "web", "next"] if verb == "rename" else [verb, "web"]
    sweep_faults(primed, how, words, check, prepare=prepare, before=before)


@pytest.mark.parametrize("verb", [["rm", "-f"], ["stop", "-t", "0"], ["kill"]], ids=lambda verb: verb[0])
@pytest.mark.parametrize("how", ["fail", "kill"])
def test_ending_a_running_container(primed: Host, how: str, verb: list[str]) -> None:
    before = Snapshot.of(primed)

    def prepare() -> None:
        primed.minirun("run", "-d", "--name", "web", "-p", "8080:80", "busybox", "sleep", "1000")

    def check(_: Done) -> None:
        primed.minirun("rm", "-f", "web")

    sweep_faults(primed, how, [*verb, "web"], check, prepare=prepare, before=before)


@pytest.mark.parametrize("how", ["fail", "kill"])
@pytest.mark.parametrize("verb", ["create", "rm"])
def test_making_and_removing_a_network(primed: Host, verb: str, how: str) -> None:
    before = Snapshot.of(primed)

    def prepare() -> None:
        if verb == "rm":
            primed.minirun("network", "create", "db")

    def check(_: Done) -> None:
        primed.minirun("network", "rm", "db", check=False)

    sweep_faults(primed, how, ["network", verb, "db"], check, prepare=prepare, before=before, least=2)


@pytest.mark.parametrize("how", ["fail", "kill"])
@pytest.mark.parametrize(
    ("flags", "userns"),
    [([], "host"), (["-t"], "host"), (["-d"], "host"), ([], "auto")],
    ids=["", "-t", "-d", "userns"],
)
def test_exec(primed: Host, flags: list[str], userns: str, how: str) -> None:
    """Whatever fails, in the command, its helper or the new process: nobody stays, and the container is as before."""
    primed.minirun("run", "-d", "--name", "web", f"--userns={userns}", "busybox", "sleep", "1000")
    words = ["exec", *flags, "web", "true"]
    primed.minirun(*words)
    before = Snapshot.of(primed)
    sweep_faults(primed, how, words, before=before, least=6)
    assert primed.minirun("exec", "web", "echo", "fine").stdout == "fine\n"


def test_a_kernel_without_a_feature_is_told_which(primed: Host) -> None:
    """In the command, the shim and the first process: each says the step, as a command, and what is lacking."""
    words = ["run", "--rm", "-p", "8080:80", "busybox", "true"]
    total = count_operations(primed, words)
    commands = ("ip netns add", "unshare --mount --pid", "mount -t overlay", "nft", "veth")
    for command in commands:
        done = inject_fault(primed, "lack", command, words)
        assert done.returncode == 125
        assert command in done.stderr
    said = [inject_fault(primed, "lack", step, words) for step in range(1, total)]
    refused = [done for done in said if done.returncode == 125]
    assert len(refused) > total / 2  # the others: what can be done without, or is done after the program ended
    for done in refused:
        assert "while doing: " in done.stderr
        assert "the kernel, or the sandbox that minirun runs in, does not support this step" in done.stderr


def test_the_shim_is_killed(primed: Host) -> None:
    before = Snapshot.of(primed)
    primed.minirun("run", "-d", "--name", "web", "-p", "8080:80", "busybox", "sleep", "1000")
    shim = primed.sh("pgrep -o -f '[m]inirun run -d --name web'").strip()
    primed.sh(f"kill -9 {shim}")
    eventually(lambda: not primed.sh("pgrep -f '[s]leep 1000'", check=False))
    listing = primed.minirun("ps", "-a").stdout
    assert "Exited (137)" in listing
    primed.minirun("run", "-d", "--name", "next", "-p", "8080:80", "busybox", "sleep", "1000")
    primed.minirun("rm", "-f", "web", "next")
    assert_same(primed, before)


def test_a_reboot_is_not_survived_as_a_lie(primed: Host) -> None:
    primed.minirun("run", "-d", "--name", "web", "busybox", "sleep", "1000")
    primed.sh(
        "pkill -9 -f '[s]leep 1000'; while pgrep -f '[m]inirun run'; do sleep 0.05; done; rm -f /run/netns/*;"
        f" {sys.executable} -c \"import sqlite3; d=sqlite3.connect('/var/lib/minirun/state.db');"
        " d.execute(\\\"update containers set status='running', boot='another', sandbox=id, monitor_pid=1,"
        ' monitor_started=1\\"); d.commit()"'
    )
    assert "Exited" in primed.minirun("ps", "-a").stdout


def test_a_storm_of_starts_and_kills(primed: Host) -> None:
    """Commands, shims and first processes killed at random while fifteen starts run at once."""
    primed.minirun("network", "create", "db")
    before = Snapshot.of(primed)
    chance = random.Random(5)
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    networks = ([], ["-p", "80"], ["--net=db"], ["--net=none"], ["-p", "8080:80"])
    for _ in range(2):
        starts = [
            primed.popen(
                [MINIRUN, "run", *chance.choice((["--rm"], [])), *chance.choice(networks), "busybox", "sleep", "1"],
                **quiet,
            )
            for _ in range(15)
        ]
        for _ in range(12):
            time.sleep(chance.random() * 0.08)
            primed.sh("p=$(pgrep -f '[m]inirun run' | shuf -n 1); [ -z \"$p\" ] || kill -9 $p", check=False)
        for process in starts:
            process.wait(30)
        names = primed.minirun("ps", "-aq").stdout.split()
        stops = [primed.popen([MINIRUN, chance.choice(("kill", "rm")), name], **quiet) for name in names]
        if names:
            primed.minirun("rm", "-f", *names, timeout=60)
        for process in stops:
            process.wait(30)
        assert primed.minirun("ps", "-aq").stdout == ""
    assert_same(primed, before)
