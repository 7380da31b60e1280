"""A server's life: who starts it, what it runs, when it ends, and what it must never keep or run."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from minirun.forkserver.location import socket_path
from tests.harness import Host, eventually
from tests.harness.host import MINIRUN, REPO
from tests.integration.forkserver.served import SERVER, ServedHost, outcome_of

OLD_CODE = "its code is not what is installed now"


_namespaces: set[str] = set()  # of pids: those of the hosts that had a server


@pytest.fixture
def fresh(host: Host) -> ServedHost:
    """A host of its own, where no server has been started yet."""
    _namespaces.add(os.readlink(f"/proc/{host.pid}/ns/pid"))
    return ServedHost(host, is_started=False)


class Installation:
    """A copy of minirun on a host, at /run/copy, whose code a test may change."""

    def __init__(self, host: Host) -> None:
        self.path = Path(f"/proc/{host.pid}/root/run/copy")
        self.code = self.path / "code" / "minirun"
        shutil.copytree(REPO / "minirun", self.code, ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("bin/minirun", "libexec/minirun", "libexec/minirun-forkserver"):
            (self.path / name).parent.mkdir(exist_ok=True)
            shutil.copy(Path(MINIRUN).parent.parent / name, self.path / name)
        for name in ("minirun", "minirun-forkserver"):
            program = self.path / "libexec" / name
            program.write_text(program.read_text().replace(f'"{REPO}"', '"/run/copy/code"'))
        self.served = ServedHost(host, "/run/copy/bin/minirun")

    def version(self) -> tuple[str, str]:
        done = self.served.run("--version")
        return done.way, done.output.decode().split()[-1]

    def set_version(self, version: str) -> None:
        """In place, and with the time of the file as it was. Python itself needs another length to see that."""
        file = self.code / "__init__.py"
        before = file.stat()
        head, _, rest = file.read_text().partition('__version__ = "')
        file.write_text(f'{head}__version__ = "{version}"{rest.partition(chr(34))[2]}')
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.fixture
def installed(host: Host) -> Installation:
    return Installation(host)


def test_the_first_command_starts_a_server_and_waits_for_nothing(fresh: ServedHost) -> None:
    assert fresh.way("version") == "none is running"
    assert fresh.way("version") == SERVER  # which imports its code meanwhile: that takes less than another plain start
    directory = fresh.run_directory / "minirun"
    assert directory.stat().st_mode & 0o777 == 0o700
    assert {path.suffix for path in directory.iterdir()} == {".socket", ".lock", ".log", ".code"}
    assert not next(directory.glob("*.log")).read_text()
    assert next(directory.glob("*.socket")).name == socket_path(Path(MINIRUN)).name


def test_many_at_once(fresh: ServedHost) -> None:
    """500 launchers, of which the first start a server. One answer each, and one server."""
    script = f"for i in $(seq 500); do {fresh.launcher} --version & done | sort | uniq -c; wait"
    eventually(lambda: fresh.way("version") == SERVER, 30)
    shown = fresh.host.sh(f"{script}", timeout=100).split()
    assert shown[:1] == ["500"]
    waiting = [pid for pid in fresh.processes_with("minirun-forkserver") if fresh.parent(pid) == 1]
    assert len(waiting) == 1
    assert fresh.way("version") == SERVER


def test_many_starters_make_one_server(fresh: ServedHost) -> None:
    processes = [fresh.start("version") for _ in range(8)]
    outcomes = [outcome_of(process) for process in processes]
    assert [one.code for one in outcomes] == [0] * 8
    assert sum(one.way == SERVER for one in outcomes) > 4  # a plain start of each would take longer
    eventually(lambda: fresh.way("version") == SERVER, 30)
    assert len([pid for pid in fresh.processes_with("minirun-forkserver") if fresh.parent(pid) == 1]) == 1


@pytest.mark.parametrize(("signals", "why"), [(["KILL"], "it hung up"), (["STOP", "KILL"], "it does not answer")])
def test_a_server_that_fails_while_it_starts(fresh: ServedHost, signals: list[str], why: str) -> None:
    fresh.way("version")
    (server,) = fresh.processes_with("minirun-forkserver")
    sockets = Path(f"/proc/{fresh.host.pid}/net/unix")
    waits = fresh.start("version")
    eventually(lambda: sockets.read_text().count("/run/minirun/") == 2)  # the server's, and the launcher's connection
    for signal in signals:
        fresh.send(signal, server)
        time.sleep(0.5)
    done = outcome_of(waits)
    assert (done.way, done.code) == (why, 0)
    assert fresh.way("version") == "none is running"
    assert fresh.way("version") == SERVER


def test_it_ends_after_the_idle_time(fresh: ServedHost) -> None:
    fresh.host.sh("cp -a /etc /run/etc; mount --bind /run/etc /etc; mkdir -p /etc/minirun")
    fresh.host.run(["sh", "-c", "cat >/etc/minirun/config.json"], input='{"forkserver-idle-seconds": 2}')
    eventually(lambda: fresh.way("version") == SERVER, 30)
    server = fresh.server()
    process = fresh.start("run", "--rm", "--net=none", "busybox", "sleep", "3")
    assert outcome_of(process).way == SERVER  # one that runs for longer is no idle time
    assert fresh.state(server)
    eventually(lambda: not fresh.state(server), 6)
    assert not list((fresh.run_directory / "minirun").glob("*.socket"))
    assert fresh.way("version") == "none is running"


def test_changed_code_is_what_runs(installed: Installation) -> None:
    assert installed.version()[0] == SERVER
    first = installed.served.server()
    installed.set_version("9.9.99")
    assert installed.version() == (OLD_CODE, "9.9.99")
    eventually(lambda: installed.version() == (SERVER, "9.9.99"), 30)
    assert not installed.served.state(first)


def test_code_that_changes_while_it_is_imported(installed: Installation) -> None:
    """The server may have read the old code, and note the new file: it ends in place of that."""
    installed.served.send("TERM", installed.served.server())
    eventually(lambda: installed.version()[0] == "none is running")
    versions = ["8." + "0" * length for length in range(4, 14)]
    for version in versions:  # a start takes longer than one of these
        installed.set_version(version)
        assert installed.version()[1] == version
    eventually(lambda: installed.version() == (SERVER, versions[-1]), 30)


def test_a_command_that_runs_goes_on_when_the_code_changes(installed: Installation) -> None:
    process = installed.served.start(
        "run", "--rm", "--net=none", "--name", "old", "busybox", "sh", "-c", "sleep 2; exit 7"
    )
    eventually(lambda: installed.served.processes_with("old"))
    installed.set_version("9.9.98")
    eventually(lambda: installed.version() == (SERVER, "9.9.98"), 30)
    assert outcome_of(process).code == 7


def test_another_python_ends_the_server(fresh: ServedHost) -> None:
    eventually(lambda: fresh.way("version") == SERVER, 30)
    python = os.path.realpath(sys.executable)
    fresh.host.sh(f"cp -a {python} /run/python; mount --bind /run/python {python}")
    assert fresh.way("version") == OLD_CODE
    # The server has this host's mounts, and so does what comes after it.
    eventually(lambda: fresh.way("version") == SERVER, 30)


def test_a_socket_that_a_killed_server_left(fresh: ServedHost) -> None:
    eventually(lambda: fresh.way("version") == SERVER, 30)
    fresh.kill_server()
    assert list((fresh.run_directory / "minirun").glob("*.socket"))
    assert fresh.way("version") == "none is running"
    eventually(lambda: fresh.way("version") == SERVER, 30)


@pytest.mark.parametrize(
    "starter", ["ip netns exec short", "unshare --net --uts --ipc --mount", "unshare --net --cgroup sh -c '\"$@\"' sh"]
)
def test_no_namespace_is_kept_alive(fresh: ServedHost, starter: str) -> None:
    """Whoever starts a server in a short-lived namespace. Also one that has no parent: what nsenter(1) put there."""
    host = fresh.host
    host.sh("ip netns add short")
    environment = {**os.environ, "MINIRUN_DEBUG": "1"}
    argv = ["ip", "netns", "exec", "short"] if starter.startswith("ip") else ["sh", "-c", f'{starter} "$@"', "sh"]
    process = host.popen([*argv, MINIRUN, "version"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert outcome_of(process).way == "none is running"
    eventually(lambda: fresh.way("version") == SERVER, 30)
    for pid in [fresh.server(), eventually(fresh.waiting)[0]]:
        for kind in ("net", "mnt", "uts", "ipc", "cgroup", "pid"):
            own, first = (os.readlink(fresh.proc / str(one) / "ns" / kind) for one in (pid, 1))
            assert own == first, kind
        held = fresh.host.sh(f"readlink /proc/{pid}/fd/* || true").splitlines()
        assert not [target for target in held if "net:" in target]


@pytest.mark.parametrize(
    "before",
    [
        "exec setpriv --bounding-set -sys_boot",
        "exec setpriv --inh-caps +net_raw",
        "exec setpriv --no-new-privs",
        "exec setpriv --regid 5 --keep-groups",
        "exec setarch -R",
    ],
)
def test_who_is_odd_starts_no_server_for_the_others(fresh: ServedHost, before: str) -> None:
    assert fresh.way("version", before=before) == "none is running"
    time.sleep(0.3)
    assert not fresh.processes_with("minirun-forkserver")


def test_limits_of_who_starts_it_are_not_the_servers(fresh: ServedHost) -> None:
    """Where root may not raise them (no CAP_SYS_RESOURCE), the next one that has higher ones replaces the server."""
    before = "exec prlimit --nofile=90:100 --cpu=300:300"
    assert fresh.way("version", before=before) == "none is running"
    eventually(lambda: fresh.way("version", before=before) != "none is running", 30)
    eventually(lambda: fresh.way("version") == SERVER, 30)
    assert fresh.way("version", before="exec 300</dev/null; exec") == SERVER
    server = fresh.server()
    assert fresh.way("version", before=before) == SERVER
    assert fresh.server() == server  # lower ones do not


def test_a_full_run_directory(fresh: ServedHost) -> None:
    fresh.host.sh(
        "mkdir -m 700 /run/minirun; mount -t tmpfs -o size=4k,mode=700 small /run/minirun; "
        "head -c 9999 /dev/zero > /run/minirun/filler",
        check=False,
    )
    assert fresh.run("version").code == 0
    time.sleep(1)
    done = fresh.run("version")
    assert (done.way, done.code) == ("none is running", 0)
    fresh.host.sh("rm /run/minirun/filler; mount -o remount,size=1m /run/minirun")
    eventually(lambda: fresh.way("version") == SERVER, 30)


@pytest.fixture(scope="module", autouse=True)
def none_outside() -> Iterator[None]:
    """No server of a throwaway host outlives it."""
    yield
    eventually(lambda: not _servers_left())


def _servers_left() -> list[str]:
    found = []
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            if b"minirun-forkserver" in (directory / "cmdline").read_bytes():
                found += [directory.name] if os.readlink(directory / "ns/pid") in _namespaces else []
        except OSError:
            pass
    return found


def test_a_server_leaves_the_cgroup_that_it_was_started_in(fresh: ServedHost) -> None:
    """Else the group of a login session or a service could not end before it."""
    fresh.host.sh("mkdir /sys/fs/cgroup/session /sys/fs/cgroup/other")
    start = "echo $$ > /sys/fs/cgroup/session/cgroup.procs; exec"
    eventually(lambda: fresh.way(before=start) == SERVER, 30)
    fresh.host.sh("rmdir /sys/fs/cgroup/session")
    done = fresh.run("version", before="echo $$ > /sys/fs/cgroup/other/cgroup.procs; exec")
    assert (done.way, done.code) == (SERVER, 0)


def test_who_sees_other_files_does_without_the_server_and_leaves_it_alone(fresh: ServedHost) -> None:
    """As in a container or a chroot that has another release of minirun at the same place."""
    eventually(lambda: fresh.way() == SERVER, 30)
    server = fresh.server()
    code = f"{REPO}/minirun/errors.py"
    before = f"exec unshare --mount sh -c 'cp {code} /run/other.py; mount --bind /run/other.py {code}; exec \"$@\"' sh"
    assert fresh.way(before=before) == OLD_CODE
    assert (fresh.way(), fresh.server()) == (SERVER, server)
