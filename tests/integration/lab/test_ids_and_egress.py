"""minirun lab with subordinate ids and pasta, by programs of Debian packages that this host alone has."""

from collections.abc import Iterator

import pytest

from tests.harness import Host, eventually
from tests.harness.debian_packages import LAB, overlay_packages
from tests.harness.host import MINIRUN, Neighbour
from tests.harness.in_lab import USER, home
from tests.integration.lab.conftest import Machine

_ENTRY = f"tester:x:{USER}:{USER}::/tmp:/bin/sh"


@pytest.fixture(scope="module")
def equipped() -> Iterator[Machine]:
    with Host(own_server=True) as host, home() as directory:
        overlay_packages(host, LAB)
        # As udev gives it to all users; some machines have no udev.
        host.sh("mount -t tmpfs -o mode=755 net /dev/net && mknod -m 666 /dev/net/tun c 10 200")
        host.sh(f"echo {_ENTRY} >> /etc/passwd; for kind in uid gid; do echo tester:200000:65536 > /etc/sub$kind; done")
        yield Machine(host, directory)


@pytest.fixture(scope="module")
def neighbour(equipped: Machine) -> Neighbour:
    made = equipped.host.neighbour()
    equipped.host.sh(f"ip route add default via {made.address}")
    made.popen(["busybox", "httpd", "-f", "-h", "/run"])
    return made


def test_there_are_other_users(equipped: Machine) -> None:
    script = """
    cat /proc/self/uid_map
    minirun run --rm -u 1000:5 busybox id
    minirun run --rm busybox sh -c 'touch /x; chown 33:44 /x; stat -c %u:%g /x; stat -c %u /var/spool/mail'
    minirun run --rm --userns=auto busybox cat /proc/self/uid_map
    minirun run --rm busybox id -G
    """
    lines = [line.split() for line in equipped.lab(script).stdout.splitlines()]
    assert lines[:2] == [["0", str(USER), "1"], ["1", "200000", "65536"]]
    assert lines[2][0] == "uid=1000"
    assert lines[3:6] == [["33:44"], ["8"], ["0", "1", "65536"]]
    assert lines[6] == ["0", "10"]


def test_containers_reach_what_the_user_reaches(equipped: Machine, neighbour: Neighbour) -> None:
    script = f"""
    minirun run --rm busybox sh -c 'echo GET / | timeout 5 nc {neighbour.address} 80'
    cat /etc/resolv.conf; minirun doctor
    """
    output = equipped.lab(script).stdout
    assert "400 Bad Request" in output
    assert "nameserver 169.254.1.1" in output
    assert "no way out" not in output


def test_nothing_of_the_lab_is_published_and_pasta_ends_with_it(equipped: Machine, neighbour: Neighbour) -> None:
    lab = f"{MINIRUN} run -d -p 8080:80 busybox sleep 60; nc -l -p 7070 & echo ready; sleep 60"
    process = equipped.start("lab", "sh", "-c", lab)
    assert process.stdout is not None
    while b"ready" not in process.stdout.readline():
        pass
    assert ":7070" not in equipped.host.sh("ss -Hltn; sleep 1.2; ss -Hltn"), "pasta would look once a second"
    assert "pasta" in equipped.host.sh(f"ps -wwu {USER} -o args=")
    pids = equipped.host.sh(f"ps -wwu {USER} -o pid=,args=")
    top = next(line.split()[0] for line in pids.splitlines() if "minirun lab" in line)
    equipped.host.sh(f"kill -KILL {top}")
    eventually(lambda: not equipped.host.sh("ps -wweo args= | grep -E '[p]asta|[m]inirun lab' || true"))


def test_a_map_that_is_refused_leaves_one_user_and_a_reason(equipped: Machine) -> None:
    equipped.host.sh("echo other:200000:65536 > /etc/subgid")
    try:
        done = equipped.minirun("lab", input="cat /proc/self/gid_map\n")
    finally:
        equipped.host.sh("echo tester:200000:65536 > /etc/subgid")
    assert done.stdout.split() == ["0", str(USER), "1"]
    assert "root is the only user" in done.stderr
    assert "sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 tester" in done.stderr
