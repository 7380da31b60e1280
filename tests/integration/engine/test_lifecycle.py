"""The life of a container after `run`: stopped, started again, paused, waited for, renamed."""

import sys
import time

from tests.harness import Host, Snapshot, assert_same, eventually
from tests.integration.engine.states import state, status


def test_a_stopped_container_starts_again_with_its_files_address_and_port(primed: Host) -> None:
    before = Snapshot.of(primed)
    primed.minirun("run", "-d", "--name", "web", "-p", "80", "busybox", "sh", "-c", "date >> /log; exec sleep 1000")
    first = state(primed, "web")
    port = primed.minirun("port", "web").stdout
    primed.minirun("stop", "-t", "0", "web")
    assert status(primed, "web") == "exited"
    primed.minirun("run", "-d", "--name", "squatter", "busybox", "sleep", "1000")  # takes the next address
    assert primed.minirun("start", "web").stdout == "web\n"
    second = state(primed, "web")
    assert second["NetworkSettings"]["IPAddress"] == first["NetworkSettings"]["IPAddress"]
    assert primed.minirun("port", "web").stdout == port
    eventually(lambda: primed.minirun("exec", "web", "wc", "-l", "/log").stdout.split()[0] == "2")
    assert primed.minirun("start", "web").stdout == "web\n"  # running already: fine
    primed.minirun("rm", "-f", "web", "squatter")
    assert_same(primed, before)


def test_several_start_at_once_each_with_a_shim_of_its_own(primed: Host) -> None:
    before = Snapshot.of(primed)
    names = ["one", "two", "three"]
    for name in names:
        primed.minirun("run", "--name", name, "--net=none", "busybox", "true")
    assert primed.minirun("start", *names, "nosuch", check=False).returncode == 1
    for name in names:
        assert status(primed, name) == "exited"
        assert state(primed, name)["State"]["ExitCode"] == 0
    primed.minirun("rm", *names)
    assert_same(primed, before)


def test_start_attached_gives_output_and_exit_code(primed: Host) -> None:
    primed.minirun(
        "run", "--name", "job", "--net=none", "busybox", "sh", "-c", "echo out; echo err >&2; exit 7", check=False
    )
    done = primed.minirun("start", "-a", "job", check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("out\n", "err\n", 7)
    assert primed.minirun("logs", "job").stdout == "out\nout\n"


def test_a_start_that_fails_leaves_the_container_stopped_and_nothing_else(primed: Host) -> None:
    primed.minirun("run", "--name", "holder", "-p", "8080:80", "busybox", "true")
    before = Snapshot.of(primed)
    listen = "import socket, time; s = socket.socket(); s.bind(('', 8080)); s.listen(); time.sleep(100)"
    squatter = primed.popen([sys.executable, "-c", listen])
    eventually(lambda: "8080" in primed.sh("ss -Hlnt"))
    done = primed.minirun("start", "holder", check=False)
    assert done.returncode == 1
    assert "port is already allocated" in done.stderr
    assert status(primed, "holder") == "exited"
    primed.sh("pkill -f '[t]ime.sleep.100'")
    squatter.wait()
    assert_same(primed, before)


def test_pause_holds_everything_still(primed: Host) -> None:
    counting = "i=0; while :; do i=$((i+1)); echo $i > /n; done"
    primed.minirun("run", "-d", "--name", "busy", "--net=none", "busybox", "sh", "-c", counting)
    primed.minirun("pause", "busy")
    assert "(Paused)" in primed.minirun("ps").stdout
    assert "is already paused" in primed.minirun("pause", "busy", check=False).stderr
    assert "is paused" in primed.minirun("exec", "busy", "true", check=False).stderr
    pid = state(primed, "busy")["State"]["Pid"]
    first = primed.sh(f"cut -d' ' -f14,15 /proc/{pid}/stat")
    time.sleep(0.2)
    assert primed.sh(f"cut -d' ' -f14,15 /proc/{pid}/stat") == first
    primed.minirun("unpause", "busy")
    eventually(lambda: primed.sh(f"cut -d' ' -f14,15 /proc/{pid}/stat") != first)
    primed.minirun("pause", "busy")
    primed.minirun("stop", "-t", "1", "busy", timeout=10)
    assert status(primed, "busy") == "exited"


def test_wait_tells_exit_codes_in_the_order_asked_also_of_those_that_remove_themselves(primed: Host) -> None:
    primed.minirun("run", "-d", "--name", "slow", "--net=none", "--rm", "busybox", "sh", "-c", "sleep 4; exit 5")
    primed.minirun("run", "-d", "--name", "quick", "--net=none", "busybox", "sh", "-c", "exit 6")
    done = primed.minirun("wait", "slow", "quick", "nosuch", check=False)
    assert done.stdout == "5\n6\n"
    assert done.returncode == 1
    assert "No such container: nosuch" in done.stderr


def test_rename_moves_name_and_network_namespace(primed: Host) -> None:
    before = Snapshot.of(primed)
    primed.minirun("run", "-d", "--name", "old", "busybox", "sleep", "1000")
    primed.minirun("rename", "old", "new")
    assert primed.sh("ls /run/netns").split() == ["new"]
    assert "No such object" in primed.minirun("inspect", "old", check=False).stderr
    assert state(primed, "new")["NetworkSettings"]["SandboxKey"] == "/run/netns/new"
    primed.minirun("run", "-d", "--name", "old", "--net=none", "busybox", "sleep", "1000")
    done = primed.minirun("rename", "new", "old", check=False)
    assert "already in use" in done.stderr
    primed.minirun("rm", "-f", "old", "new")
    assert_same(primed, before)
