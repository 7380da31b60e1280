"""system reset: the machine is as before the first command; what is not minirun's stays."""

import sys
from collections.abc import Iterator

import pytest

from tests.harness import Host, Snapshot, assert_same, eventually
from tests.harness.fault_sweep import Done, count_operations, sweep_faults

SLEEP = ("busybox", "sleep", "1000")
RESET = ("system", "reset", "-f")
OTHER = ("--root", "/run/other")
SETTINGS = "cd /proc/sys/net; cat ipv6/conf/all/forwarding ipv6/conf/lan0/accept_ra; ls -A /run; nft list ruleset"


@pytest.fixture
def machine() -> Iterator[Host]:
    """A host on which no command has run, with a fork server of its own, beside a LAN."""
    with Host(own_server=True) as host:
        host.neighbour(default_route=True)
        host.sh("echo 1 > /proc/sys/net/ipv6/conf/lan0/accept_ra; echo 0 > /proc/sys/net/ipv6/conf/all/forwarding")
        yield host


def fill(host: Host) -> None:
    """Some of everything that minirun makes."""
    host.minirun("run", "-d", "--name", "web", "-p", "8080:80", *SLEEP)
    host.minirun("network", "create", "--ipv6", "town")
    host.minirun("run", "-d", "--name", "db", "--net=town", "--restart=always", "-v", "data:/data", *SLEEP)
    host.minirun("run", "-d", "--name", "alone", "--net=none", *SLEEP)
    host.minirun("pause", "alone")
    host.minirun("create", "--name", "later", *SLEEP)


def test_the_machine_is_as_before_the_first_command(machine: Host) -> None:
    machine.sh("nft 'add table ip filter'")
    machine.sh("nft 'add chain ip filter FORWARD { type filter hook forward priority 0; policy drop; }'")
    before, settings = Snapshot.of(machine), machine.sh(SETTINGS)
    nothing = "Nothing to remove: this machine has nothing of state root /var/lib/minirun\n"
    assert machine.minirun(*RESET).stdout == nothing
    fill(machine)
    assert "minirun: from minirun0" in machine.sh("nft list table ip filter")
    assert "2" in machine.sh("cat /proc/sys/net/ipv6/conf/lan0/accept_ra")
    running = Snapshot.of(machine)
    for answer in ("", "n\n"):
        said = machine.minirun("system", "reset", input=answer).stdout
        assert said.endswith("(/var/lib/minirun)\n\nAre you sure you want to continue? [y/N] ")
    assert_same(machine, running)
    done = machine.minirun("system", "reset", input="y\n")
    assert done.stderr == ""
    for line in (
        "containers     4  ",
        "networks       2  bridge, town\n",
        "volumes        1  data\n",
        "ip_forward = 0",
    ):
        assert line in done.stdout
    assert_same(machine, before)
    eventually(lambda: machine.sh(SETTINGS) == settings)
    assert machine.minirun(*RESET).stdout == nothing
    assert_same(machine, before)
    machine.minirun("run", "--rm", "-p", "8080:80", "busybox", "true")


DAMAGE = {
    "the database is no database": "head -c 9000 /dev/urandom > state.db; rm -f state.db-*",
    "a record cannot be read": '{python} -c \'import sqlite3; d = sqlite3.connect("state.db");'
    ' d.execute("update containers set spec = 1"); d.execute("update networks set config = 1"); d.commit()\'',
    "the database is gone": "rm -f state.db*",
    "all files are gone": "rm -rf ./*",
    "shims were killed": "pkill -KILL minirun-shim; pkill -KILL -f '[m]inirun run'",
    "the DNS server does not answer": "pkill -STOP -f '[m]inirun.network.dns'",
    "half of it is gone": "ip link del minirun0; nft flush ruleset; rm -rf containers/*; umount -l /run/netns/web",
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_state(host: Host, damage: str) -> None:
    before = Snapshot.of(host)
    fill(host)
    host.sh(f"cd /var/lib/minirun; {DAMAGE[damage].replace('{python}', sys.executable)}", check=False)
    count_operations(host, RESET)  # it succeeds, and does not stop the fork server of other tests
    assert_same(host, before)


def test_what_is_not_minirun_s_stays(machine: Host) -> None:
    machine.minirun(*OTHER, "run", "-d", "--name", "theirs", "-p", "9090:90", *SLEEP)
    machine.sh("ip netns add mine; ip link add br0 type bridge; nft 'add table inet mine'; echo kept > /run/note")
    before = Snapshot.of(machine)
    fill(machine)
    machine.sh("cp /run/note /var/lib/minirun/note")
    said = machine.minirun(*RESET).stdout
    assert "kept: in /var/lib/minirun, not minirun's: 'note'\n" in said
    assert "kept: net.ipv4.ip_forward is 1, and was 0 before minirun: bridge " in said
    assert machine.sh("cat /var/lib/minirun/note; rm /var/lib/minirun/note") == "kept\n"
    machine.minirun("version")  # the fork server, which was there before, too
    assert_same(machine, before)
    assert machine.minirun(*OTHER, "exec", "theirs", "echo", "alive").stdout == "alive\n"
    for root in ((), OTHER):
        assert "belongs to no recorded" not in machine.minirun(*root, "doctor", "--quick").stdout
    machine.sh("rm -r /var/lib/minirun/*")
    machine.sh("mkdir -p /run/docker/containers /run/docker/volumes/data")
    said = machine.minirun("--root", "/run/docker", *RESET).stdout
    assert "/run/docker has no state.db, so containers, volumes there may be another program's" in said
    assert machine.sh("ls /run/docker/volumes; ip link del br0") == "data\n"
    machine.minirun(*OTHER, *RESET)
    assert machine.sh("cat /proc/sys/net/ipv4/ip_forward; ls -A /run/netns; ls -d /run/other || true") == "0\nmine\n"


def test_a_mount_in_a_volume_is_not_emptied(machine: Host) -> None:
    before = Snapshot.of(machine)
    machine.minirun("volume", "create", "data")
    machine.minirun("volume", "create", "gone")
    place = "/var/lib/minirun/volumes/data/_data"
    machine.sh(f"mount -t tmpfs disk {place}; echo precious > {place}/file")
    done = machine.minirun(*RESET, check=False)
    assert (done.returncode, machine.sh(f"cat {place}/file")) == (1, "precious\n")
    assert f"mounted, and left as it is: {place}. Unmount it, then run this again" in done.stderr
    assert machine.minirun("volume", "ls", "-q").stdout == "data\n"
    machine.sh(f"umount {place}")
    machine.minirun(*RESET)
    assert_same(machine, before)


@pytest.mark.parametrize("how", ["fail", "kill"])
def test_it_can_be_interrupted_at_any_step(host: Host, how: str) -> None:
    """Every fifth of its steps, in which it fails or is killed: the next one removes the rest."""
    before = Snapshot.of(host)

    def prepare() -> None:
        host.minirun("network", "create", "town")
        host.minirun("run", "-d", "--name", "db", "--net=town", "-p", "8080:80", "-v", "data:/data", *SLEEP)

    def check(_: Done) -> None:
        count_operations(host, RESET)
        assert_same(host, before)

    sweep_faults(host, how, RESET, check, prepare=prepare, least=15, stride=5)
