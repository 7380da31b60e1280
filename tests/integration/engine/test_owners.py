"""--owner-pid: containers and networks go when their owner has ended, however it did; and not before."""

import random
import subprocess
import time
from collections.abc import Iterator

import pytest

from tests.harness import Host, Snapshot, assert_same, eventually
from tests.harness.host import MINIRUN

SCRIPT = f"""
{MINIRUN} network create --owner-pid $$ net
{MINIRUN} run -d --owner-pid $$ --name web --net net -p 8080:80 -v /data --restart always busybox sleep 1000
{MINIRUN} run -d --owner-pid $$ --name paused --net container:web busybox sleep 1000
{MINIRUN} pause paused
{MINIRUN} create --owner-pid $$ --name created -v /data busybox true
{MINIRUN} run --owner-pid $$ --name ended busybox true
"""


@pytest.fixture(scope="module")
def site() -> Iterator[Host]:
    with Host() as host:
        host.minirun("network", "create", "net")
        host.minirun("run", "--rm", "--net", "net", "busybox", "true")
        host.minirun("network", "rm", "net")
        host.minirun("run", "--rm", "-v", "/data", "busybox", "true")
        yield host


@pytest.fixture
def town(site: Host) -> Iterator[Host]:
    eventually(lambda: "dns" not in site.sh("ls /run/netns"), 15)
    before = Snapshot.of(site)
    yield site
    assert_same(site, before, 15)


def start(host: Host, script: str) -> tuple["subprocess.Popen[bytes]", int]:
    """A shell that owns what it makes. Returns it, and its pid on the host."""
    shell = host.popen(["sh", "-c", f"echo $$\n{script}\necho made\nexec sleep 1000"], stdout=subprocess.PIPE)
    assert shell.stdout is not None
    return shell, int(shell.stdout.readline())


def finish(shell: "subprocess.Popen[bytes]") -> None:
    assert shell.stdout is not None
    while line := shell.stdout.readline():
        if line == b"made\n":
            return
    raise AssertionError("the owner ended early")


def kill(host: Host, pid: int) -> None:
    host.sh(f"kill -9 {pid}")


def guard_of(host: Host, owner: int) -> str:
    return str(host.sh(f"pgrep -f '^minirun-guard {owner}$'").strip())


def test_all_of_it_goes_without_another_command(town: Host) -> None:
    shell, owner = start(town, SCRIPT)
    finish(shell)
    time.sleep(1.2)  # shims become sleepers
    names = town.minirun("ps", "-a", "--format", "{{.Names}} {{.State}}").stdout.splitlines()
    assert sorted(names) == ["created created", "ended exited", "paused paused", "web running"]
    assert "net" in town.minirun("network", "ls", "--filter", "name=net", "--format", "{{.Name}}").stdout
    kill(town, owner)
    eventually(lambda: town.sh("ls /var/lib/minirun/containers") == "", 10)


def test_the_next_command_does_it_when_the_guard_was_killed_too(town: Host) -> None:
    shell, owner = start(town, f"{MINIRUN} run -d --owner-pid $$ --rm busybox sleep 1000")
    finish(shell)
    kill(town, int(guard_of(town, owner)))
    kill(town, owner)
    time.sleep(0.3)
    assert town.sh("ls /var/lib/minirun/containers") != ""
    assert town.minirun("ps", "-aq").stdout == ""


def test_a_later_process_with_the_same_pid_is_no_owner(town: Host) -> None:
    shell, owner = start(town, f"{MINIRUN} run -d --owner-pid $$ busybox sleep 1000")
    finish(shell)
    assert town.minirun("ps", "-q").stdout != ""
    town.sh(
        "python3 -c \"import sqlite3; db = sqlite3.connect('/var/lib/minirun/state.db');"
        " db.execute('update owned set started = started - 1'); db.commit()\""
    )
    assert town.minirun("ps", "-aq").stdout == ""
    kill(town, owner)


def test_an_image_goes_too_when_nobody_else_uses_it(town: Host) -> None:
    town.minirun("create", "--name", "web", "busybox", "true")
    shell, owner = start(town, "")
    finish(shell)
    image = town.minirun("commit", "--owner-pid", str(owner), "web").stdout.strip()
    town.minirun("create", "--name", "user", image)
    kill(town, owner)
    time.sleep(0.5)
    assert image in town.minirun("images", "-q", "--no-trunc").stdout, "a container of somebody else is made from it"
    town.minirun("rm", "user", "web")
    assert image not in town.minirun("images", "-q", "--no-trunc").stdout


def test_owners_share_one_guard_each_and_only_their_own_things_go(town: Host) -> None:
    run = f"{MINIRUN} run -d --owner-pid $$ --net net busybox sleep 1000"
    first, owner = start(town, f"{MINIRUN} network create --owner-pid $$ net; {run}; {run}")
    finish(first)
    second, other = start(town, run)
    finish(second)
    assert len(guard_of(town, owner).split()) == len(guard_of(town, other).split()) == 1
    kill(town, owner)
    eventually(lambda: len(town.minirun("ps", "-q").stdout.split()) == 1)
    assert "net" in town.minirun("network", "ls").stdout, "the other one is in it"
    kill(town, other)


def test_killed_at_random_moments(town: Host) -> None:
    for _ in range(4):
        seconds = random.uniform(0, 1.5)
        print(f"after {seconds:.3f} s")
        _, owner = start(town, SCRIPT)
        time.sleep(seconds)
        kill(town, owner)
        eventually(lambda owner=owner: not town.sh(f"pgrep -f '[o]wner-pid {owner}|[g]uard {owner}' || true"), 15)


def test_a_process_that_is_not_there_owns_nothing(town: Host) -> None:
    for words in (("run", "--owner-pid", "4000000", "busybox", "true"), ("network", "create", "--owner-pid=-1", "net")):
        done = town.minirun(*words, check=False)
        assert done.returncode
        assert "there is no process" in done.stderr


def test_nothing_is_left_after_a_reboot() -> None:
    first = Host()
    shell, _ = start(first, SCRIPT)
    finish(shell)
    with first.rebooted() as host:
        assert host.minirun("ps", "-aq").stdout == ""
        assert "net" not in host.minirun("network", "ls", "--format", "{{.Name}}").stdout.split()
