"""Called from a mount namespace of its own (unshare --mount, a systemd unit with PrivateTmp=yes): all callers meet."""

import os

import pytest

from tests.harness import Host, Snapshot, assert_same, eventually
from tests.harness.host import MINIRUN

PROPAGATIONS = ["private", "slave"]  # of unshare(1), and of systemd's PrivateTmp=yes
WAYS = ["", "off"]  # values of MINIRUN_FORKSERVER


def apart(propagation: str, *words: str) -> list[str]:
    """A minirun command in a mount namespace that ends with it, as far as others are concerned."""
    return ["unshare", "--mount", "--propagation", propagation, MINIRUN, *words]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("propagation", PROPAGATIONS)
def test_callers_meet_on_a_network(primed: Host, propagation: str, way: str) -> None:
    env = {**os.environ, "MINIRUN_FORKSERVER": way}
    primed.minirun("network", "create", "red")
    primed.minirun("run", "--rm", "--net=red", "busybox", "true")
    eventually(lambda: "mrd-" not in primed.sh("ip link"))
    before = Snapshot.of(primed)
    serve = ("busybox", "httpd", "-f", "-h", "/var/www")
    primed.run(apart(propagation, "run", "-d", "--name", "there", "--net=red", "-p", "8080:80", *serve), env=env)
    primed.minirun("run", "-d", "--name", "here", "--net=red", *serve)
    fetch = ("timeout", "3", "wget", "-qO-")
    for name, other in (("here", "there"), ("there", "here")):
        for command in ([MINIRUN], ["unshare", "--mount", "--propagation", propagation, MINIRUN]):
            assert primed.run([*command, "exec", name, *fetch, f"http://{other}/"], env=env).stdout
    assert primed.sh("busybox wget -qO- http://127.0.0.1:8080/")
    for name in ("here", "there"):  # any program finds it
        assert "eth0" in primed.sh(f"ip netns exec {name} ip -br link")
    primed.minirun("run", "--rm", "--net=red", "busybox", *fetch, "http://there/")
    primed.minirun("run", "--rm", "--net=container:there", "busybox", *fetch, "http://127.0.0.1/")
    primed.run(apart(propagation, "run", "--rm", "--net=container:here", "busybox", *fetch, "http://there/"), env=env)
    primed.run(apart(propagation, "rm", "-f", "here"), env=env)
    primed.minirun("rm", "-f", "there")
    assert_same(primed, before)


@pytest.mark.parametrize("flags", [["--net=none"], ["--userns=auto"], ["-p", "80"], ["--net=none", "--userns=auto"]])
def test_what_one_pins_another_can_end(primed: Host, flags: list[str]) -> None:
    before = Snapshot.of(primed)
    for name, ends_apart in (("aa", True), ("bb", False)):
        primed.run(apart("private", "run", "-d", "--name", name, *flags, "busybox", "sleep", "1000"))
        assert "lo" in primed.sh(f"ip netns exec {name} ip -br link")
        assert primed.minirun("exec", name, "echo", "in").stdout == "in\n"
        primed.minirun("restart", "-t", "0", name)
        primed.run(apart("private", "rm", "-f", name) if ends_apart else [MINIRUN, "rm", "-f", name])
    assert primed.sh("ls /run/netns") == ""
    assert_same(primed, before)


def test_one_with_a_run_of_its_own_is_another_machine(primed: Host) -> None:
    """As a container that sees the host's processes: what it pins is nothing to the host."""
    script = f"mount -t tmpfs tmpfs /run; '{MINIRUN}' --root /run/root run --rm --net=none busybox true; ls /run/netns"
    done = primed.run(["unshare", "--mount", "sh", "-c", script], env={**os.environ, "MINIRUN_FORKSERVER": "off"})
    assert done.stdout == ""
    assert primed.sh("ls /run/netns") == ""


def test_a_dns_servers_pin_that_is_lost_is_made_again(primed: Host) -> None:
    """As 0.2.0 left it for all others: a file that nothing is mounted on."""
    primed.minirun("network", "create", "red")
    primed.minirun("run", "-d", "--name", "one", "--net=red", "busybox", "sleep", "1000")
    pin = primed.sh("ls -d /run/netns/*-dns").strip()
    primed.sh(f"umount {pin}")
    primed.minirun("run", "-d", "--name", "two", "--net=red", "busybox", "sleep", "1000")
    assert primed.minirun("exec", "two", "ping", "-c1", "-w2", "one").returncode == 0
    eventually(lambda: primed.minirun("exec", "one", "ping", "-c1", "-w2", "two", check=False).returncode == 0)


def test_the_doctor_finds_pins_that_are_lost_and_makes_them_again(primed: Host) -> None:
    primed.minirun("network", "create", "red")
    primed.minirun("run", "-d", "--name", "one", "--net=red", "busybox", "sleep", "1000")
    assert "is not pinned" not in primed.minirun("doctor", "--quick").stdout
    primed.sh("umount /run/netns/one; umount /run/netns/*-dns")
    said = primed.minirun("doctor", "--quick", check=False).stdout
    assert "problem: the network namespace of one is not pinned" in said
    assert "problem: the DNS server's network namespace is not pinned" in said
    primed.minirun("doctor", "--quick", "--fix", check=False)
    assert "is not pinned" not in primed.minirun("doctor", "--quick", check=False).stdout
    assert "eth0" in primed.sh("ip netns exec one ip -br link")
