"""--wait: until the published ports are listened on, or the container is healthy."""

import time
from contextlib import closing

import pytest

from tests.harness.host import MINIRUN
from tests.harness.lan_topology import LanTopology
from tests.harness.netns_sockets import Netns
from tests.integration.network.port_tools import SLEEP

LATE = "sleep 0.4; exec httpd -f -h /var/www -p "


def test_run_and_start_wait_until_all_ports_are_listened_on(box: LanTopology) -> None:
    host = box.host
    fetch = ["timeout", "3", "busybox", "wget", "-qO-", "http://127.0.0.1:8080/"]
    for words in (
        ("run", "-d", "--wait", "--name", "web", "-p", "8080:80", "busybox", "sh", "-c", LATE + "80"),
        ("start", "--wait", "--wait-timeout", "5", "web"),
    ):
        began = time.monotonic()
        host.minirun(*words)
        assert 0.4 < time.monotonic() - began < 3
        assert host.run(fetch).stdout
        host.minirun("stop", "-t", "0", "web")


def test_run_waits_for_health_where_it_is_checked(box: LanTopology) -> None:
    flags = ("--health-cmd", "test -e /tmp/well", "--health-interval", "100ms", "--health-retries", "30")
    box.host.minirun(
        "run", "-d", "--wait", "--name", "web", *flags, "busybox", "sh", "-c", "sleep 0.5; >/tmp/well; sleep 99"
    )
    assert box.host.minirun("inspect", "-f", "{{.State.Health.Status}}", "web").stdout == "healthy\n"


def test_wait_listening_needs_neither_a_connection_nor_a_program_inside(box: LanTopology) -> None:
    """By either protocol and family, for several containers, and by what shares their namespace."""
    host = box.host
    web = box.container("web", "--net", "net")
    host.minirun("run", "-d", "--name", "side", "--net", "container:web", *SLEEP)
    waiting = host.popen([MINIRUN, "wait", "--listening", "80", "--listening", "53/udp", "web", "side"], stdout=-1)
    time.sleep(0.3)
    assert waiting.poll() is None
    with closing(web.serve(80, protocols=("tcp",))) as server:
        time.sleep(0.2)
        assert waiting.poll() is None
        with closing(web.serve(53, "::", protocols=("udp",))):
            assert waiting.wait(3) == 0
        assert waiting.stdout is not None
        assert waiting.stdout.read() == b"web\nside\n"
        assert server.heard() == 0


@pytest.mark.parametrize(
    ("script", "words", "says"),
    [
        (
            "exec httpd -f -p 81",
            ["wait", "--listening", "80", "--timeout", "0.3"],
            "does not listen on 80/tcp; it listens",
        ),
        ("exec sleep 99", ["wait", "--listening", "80/udp", "--timeout", "0.1"], "listens on nothing"),
        ("sleep 0.3; exit 3", ["wait", "--listening", "80"], "has ended (exit code 3), and was not ready before"),
    ],
)
def test_what_does_not_become_ready_is_told(box: LanTopology, script: str, words: list[str], says: str) -> None:
    box.host.minirun("run", "-d", "--name", "web", "busybox", "sh", "-c", script)
    done = box.host.minirun(*words, "web", check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    assert says in done.stderr


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["run", "--wait", "busybox", "true"], "--wait goes with --detach"),
        (["run", "-d", "--wait-timeout", "3", "busybox", "true"], "--wait-timeout goes with --wait"),
        (["run", "-d", "--wait", "--wait-timeout", "0.2", "-p", "80", *SLEEP], "does not listen on 80/tcp"),
        (["run", "-d", "--wait", "-p", "80", "busybox", "false"], "has ended (exit code 1)"),
        (["run", "-d", "--wait", "--wait-timeout", "soon", "-p", "80", *SLEEP], "soon"),
    ],
)
def test_a_wait_that_cannot_be(box: LanTopology, words: list[str], says: str) -> None:
    done = box.host.minirun(*words, check=False)
    assert done.returncode != 0
    assert says in done.stderr


def test_a_published_port_that_nobody_can_reach_makes_wait_fail(box: LanTopology) -> None:
    """Its listener is on the container's own loopback. One that listens elsewhere a moment later is waited for."""
    script = "httpd -f -h /var/www -p 127.0.0.1:80"
    words = ("run", "-d", "--wait", "--name", "web", "-p", "8080:80", "busybox", "sh", "-c")
    done = box.host.minirun(*words, f"exec {script}", check=False)
    assert done.returncode
    assert "port 80/tcp of web is published, but its program listens on 127.0.0.1" in done.stderr
    assert "Make it listen on 0.0.0.0" in done.stderr
    assert "WARNING" in box.host.minirun("wait", "--listening", "80", "web").stderr
    address = box.host.minirun("inspect", "-f", "{{.NetworkSettings.IPAddress}}", "web").stdout.strip()
    with closing(Netns.of(box.host, "web").serve(80, address, protocols=("tcp",))):
        assert box.host.minirun("wait", "--listening", "80", "web").stderr == ""
    box.host.minirun("rm", "-f", "web")
    box.host.minirun(*words, f"{script} & sleep 0.3; kill $!; wait; exec httpd -f -p 80")


PAGE = "sleep 0.3; echo up and running; exec httpd -f -h /var/www -p 80"


@pytest.mark.parametrize(
    "conditions",
    [["listening:80"], ["log:up .* r.nning$"], ["http:80/"], ["http:80/nothing=404", "log:up", "listening:80/tcp"]],
)
def test_wait_for_what_is_asked(box: LanTopology, conditions: list[str]) -> None:
    """Also after a restart, whose log has the line of the run before."""
    flags = [f"--wait={text}" for text in conditions]
    run = ("run", "-d", *flags, "--wait-timeout", "9", "--name", "web", "busybox", "sh", "-c", PAGE)
    for words in (run, ("restart", "-t", "0", *flags, "web")):
        began = time.monotonic()
        box.host.minirun(*words)
        assert time.monotonic() - began > 0.3


@pytest.mark.parametrize(
    ("condition", "script", "says"),
    [
        ("log:ready", "echo starting; sleep 99", ['has written no line like "ready" (after 0.4 s)', "\n  starting\n"]),
        ("log:ready", "echo no space; exit 3", ["has ended (exit code 3)", "\n  no space\n"]),
        ("http:80/none", "exec httpd -f -p 80", ["GET /none", "404 Not Found"]),
        ("http:80/", "exec httpd -f -p 81", ["does not listen on 80/tcp; it listens on [::]:81/tcp"]),
        ("http:/", "sleep 99", ["exposes no TCP ports"]),
        ("healthy", "sleep 99", ["has no health check"]),
    ],
)
def test_what_was_seen_instead_is_told(box: LanTopology, condition: str, script: str, says: list[str]) -> None:
    words = ("run", "-d", f"--wait={condition}", "--wait-timeout", "0.4", "busybox", "sh", "-c", script)
    done = box.host.minirun(*words, check=False)
    assert done.returncode
    assert [text for text in says if text not in done.stderr] == [], done.stderr


def test_nothing_to_wait_for_is_told(box: LanTopology) -> None:
    done = box.host.minirun("run", "-d", "--wait", "--name", "web", *SLEEP)
    assert "--wait has nothing to wait for: web has no health check" in done.stderr


def test_the_log_of_one_that_removes_itself_is_told(box: LanTopology) -> None:
    script = "sleep 0.3; echo out of memory; exit 1"
    done = box.host.minirun("run", "-d", "--rm", "--wait=listening:80", "busybox", "sh", "-c", script, check=False)
    assert "\n  out of memory\n" in done.stderr
