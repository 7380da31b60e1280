"""What the fork server does before commands come, so that they take less time: nothing of it is seen on the host."""

import json
import sys

from tests.harness import Host, Snapshot, assert_same, eventually
from tests.integration.forkserver.served import ServedHost

# It tells how many parts there were, and what has changed in the process.
_PLAY = """
import json, os, signal, sys
from minirun.cli.rehearsal import Rehearsal
from minirun.init import prepared
from minirun.kernel import cgroups, controllers

def look():
    return {
        "namespaces": [os.readlink(f"/proc/self/ns/{name}") for name in ("mnt", "net", "uts", "ipc", "pid")],
        "files": [name for name in os.listdir("/proc/self/fd")],
        "directories": [os.readlink("/proc/self/root"), os.getcwd()],
        "signals": [str(signal.getsignal(number)) for number in signal.valid_signals()],
        "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
        "umask": open("/proc/self/status").read().partition("Umask:")[2][:6],
        "streams": [id(sys.stdout), id(sys.stderr)],
        "caches": [cgroups.unified.cache_info().currsize, controllers.homes.cache_info().currsize],
        "offered": prepared._offered is not None,
        "children": open(f"/proc/self/task/{os.getpid()}/children").read(),
    }

before, rehearsal, parts = look(), Rehearsal(), 0
while rehearsal.go_on():
    parts += 1
    between = {**look(), "files": before["files"]}  # of its namespaces
    assert between == before, between  # a command may come
print(json.dumps([parts, before, look()]))
"""
_ALL = 36


def play(host: Host, *before: str) -> int:
    """Play it in a process on the host, which has to be as before in the end. Returns how many parts there were."""
    parts, then, now = json.loads(host.run([*before, sys.executable, "-I", "-c", _PLAY], cwd="/").stdout)
    assert now == then
    return int(parts)


def test_all_of_it_is_played_and_leaves_nothing(host: Host) -> None:
    before = Snapshot.of(host)
    assert play(host) == _ALL
    assert_same(host, before)


def test_another_state_root_in_the_environment_stays_as_it_is(host: Host) -> None:
    host.sh("mkdir /run/elsewhere")
    assert play(host, "env", "MINIRUN_ROOT=/run/elsewhere") == _ALL
    assert host.sh("ls /run/elsewhere") == ""


def test_in_a_chroot_it_stays_below_its_root(host: Host) -> None:
    host.sh("mkdir /run/tree; mount --rbind / /run/tree; mount --make-rslave /run/tree")
    before = Snapshot.of(host)
    assert play(host, "chroot", "/run/tree") == _ALL
    assert_same(host, before)
    assert host.sh("ls /var/lib/minirun") == ""


def test_what_fails_ends_it(host: Host) -> None:
    assert play(host, "setpriv", "--bounding-set=-sys_admin") == 0  # no namespaces
    for files in range(7, 20, 2):  # at one place or other; with a few more, libnftables would end the process
        assert play(host, "prlimit", f"--nofile={files}") == 0


def test_a_server_that_has_rehearsed_is_as_before() -> None:
    with Host(own_server=True) as host:
        served = ServedHost(host)
        eventually(lambda: len(served.waiting()) == 2, 30)
        process = served.proc / str(served.server())
        opened = [str(one.readlink()) for one in (process / "fd").iterdir()]
        assert [name for name in opened if name.startswith(("mnt:", "net:", "/var/lib"))] == []
        assert {(process / "ns" / name).readlink() for name in ("mnt", "net")} == {
            (served.proc / "1/ns" / name).readlink() for name in ("mnt", "net")
        }
        left = "ls /run/netns 2>/dev/null; nft list ruleset; ip -br link | grep -v ^lo; ls /var/lib/minirun"
        assert host.sh(left) == ""
