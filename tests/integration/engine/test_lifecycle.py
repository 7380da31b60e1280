"""The life of a container after `run`: stopped, started again, restarted, paused, waited for, attached to, renamed."""

import json
import os
import signal
import subprocess
import sys
import time
from typing import Any

import pytest

from minirun.cli.attach_session import DetachKeys, parse_detach_keys
from minirun.engine.log import LogReader, LogWriter
from minirun.engine.protocol import HIGH_WATER, Kind, Outbox, Parser, Spool, frame
from minirun.errors import MinirunError
from minirun.model import Restart
from minirun.shim.restart_policy import BackOff, wants_restart
from tests.harness import Host, Snapshot, Terminal, assert_same, eventually
from tests.harness.host import MINIRUN, REPO


def state(host: Host, name: str) -> dict[str, Any]:
    return json.loads(host.minirun("inspect", name).stdout)[0]


def status(host: Host, name: str) -> str:
    return str(state(host, name)["State"]["Status"])


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


def test_on_failure_restarts_so_often_and_no_more(primed: Host) -> None:
    before = Snapshot.of(primed)
    primed.minirun("run", "-d", "--name", "flaky", "--restart=on-failure:2", "busybox", "sh", "-c", "echo run; exit 4")
    eventually(lambda: status(primed, "flaky") == "exited")
    found = state(primed, "flaky")
    assert (found["RestartCount"], found["State"]["ExitCode"]) == (2, 4)
    assert primed.minirun("logs", "flaky").stdout == "run\n" * 3
    primed.minirun("rm", "flaky")
    assert_same(primed, before)


def test_always_comes_back_in_its_network_namespace_until_it_is_stopped(primed: Host) -> None:
    before = Snapshot.of(primed)
    primed.minirun("run", "-d", "--name", "web", "--restart=always", "-p", "8080:80", "busybox", "sleep", "1000")
    first = state(primed, "web")
    primed.sh(f"kill -9 {first['State']['Pid']}")
    eventually(lambda: state(primed, "web")["State"]["Pid"] not in (0, first["State"]["Pid"]))
    again = state(primed, "web")
    assert again["RestartCount"] == 1
    assert again["NetworkSettings"] == first["NetworkSettings"]
    assert primed.minirun("exec", "web", "ip", "-4", "addr", "show", "eth0").stdout
    primed.minirun("stop", "-t", "0", "web")
    time.sleep(0.3)
    assert status(primed, "web") == "exited"
    primed.minirun("rm", "web")
    assert_same(primed, before)


@pytest.mark.parametrize("words", [["stop"], ["kill"], ["rm", "-f"]], ids=" ".join)
def test_one_that_waits_for_its_next_start_can_be_ended(primed: Host, words: list[str]) -> None:
    before = Snapshot.of(primed)
    primed.minirun("run", "-d", "--name", "loop", "--restart=always", "busybox", "false")
    eventually(lambda: state(primed, "loop")["RestartCount"] >= 4)  # by now it waits a second or so
    primed.minirun(*words, "loop", timeout=10)
    if words[0] != "rm":
        eventually(lambda: status(primed, "loop") == "exited")
        primed.minirun("rm", "loop")
    assert_same(primed, before)


def test_a_killed_shim_is_told_of_and_its_container_can_be_started_again(primed: Host) -> None:
    primed.minirun("run", "-d", "--name", "web", "--restart=always", "busybox", "sleep", "1000")
    primed.sh(f"kill -9 {state(primed, 'web')['State']['MonitorPid']}")
    found = eventually(lambda: (now := state(primed, "web"))["State"]["Status"] == "exited" and now)
    assert "shim" in found["State"]["Error"]
    primed.minirun("start", "web")
    assert status(primed, "web") == "running"


def test_restart_keeps_even_one_that_removes_itself(primed: Host) -> None:
    before = Snapshot.of(primed)
    primed.minirun("run", "-d", "--rm", "--name", "web", "busybox", "sleep", "1000")
    pid = state(primed, "web")["State"]["Pid"]
    assert primed.minirun("restart", "-t", "0", "web").stdout == "web\n"
    assert state(primed, "web")["State"]["Pid"] not in (0, pid)
    primed.minirun("stop", "-t", "0", "web")
    assert "web" not in primed.minirun("ps", "-a").stdout
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
    primed.minirun("run", "-d", "--name", "slow", "--net=none", "--rm", "busybox", "sh", "-c", "sleep 1; exit 5")
    primed.minirun("run", "-d", "--name", "quick", "--net=none", "busybox", "sh", "-c", "exit 6")
    done = primed.minirun("wait", "slow", "quick", "nosuch", check=False)
    assert done.stdout == "5\n6\n"
    assert done.returncode == 1
    assert "No such container: nosuch" in done.stderr


def test_several_attach_to_one_and_each_sees_all(primed: Host) -> None:
    primed.minirun("run", "-d", "-i", "--name", "cat", "--net=none", "busybox", "cat")
    watchers = [
        primed.popen([MINIRUN, "attach", "--no-stdin", "cat"], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
        for _ in range(3)
    ]
    time.sleep(0.4)
    talker = primed.popen([MINIRUN, "attach", "cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert talker.stdin
    talker.stdin.write(b"hello\n")
    talker.stdin.flush()
    for watcher in [*watchers, talker]:
        assert watcher.stdout
        assert watcher.stdout.readline() == b"hello\n"
    primed.minirun("kill", "cat")
    assert {watcher.wait(5) for watcher in [*watchers, talker]} == {137}


def test_a_slow_reader_holds_up_neither_the_program_nor_its_log_and_misses_nothing(primed: Host) -> None:
    padding = "of forty thousand, padded so that it amounts to something"
    script = f"i=0; while [ $i -lt 40000 ]; do echo line $i {padding}; i=$((i+1)); done"
    expected = "".join(f"line {i} {padding}\n" for i in range(40000))
    reader = primed.popen(
        [MINIRUN, "run", "--name", "talker", "--net=none", "busybox", "sh", "-c", script],
        stdout=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
    )
    eventually(lambda: status(primed, "talker") == "exited", 20)
    assert primed.minirun("logs", "talker").stdout == expected
    assert reader.stdout
    assert reader.stdout.read().decode() == expected
    assert reader.wait(5) == 0


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


def test_detach_keys_leave_it_running_and_attach_comes_back(primed: Host) -> None:
    with Terminal(primed, "run", "-it", "--name", "shell", "--net=none", "busybox", "sh") as first:
        first.until(b"# ")
        first.type(b"x=42\n")
        first.until(b"# ")
        first.type(b"\x10\x11")
        first.until(b"read escape sequence")
        assert first.wait() == 0
    assert status(primed, "shell") == "running"
    with Terminal(primed, "attach", "shell") as second:
        second.type(b"echo got-$x\n")
        second.until(b"got-42")
        second.type(b"exit 3\n")
        assert second.wait() == 3


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_terminal_is_given_back_even_when_the_command_is_killed(primed: Host, number: int) -> None:
    words = ["run", "-it", "--init", "--name", "shell", "--net=none", "busybox", "sleep", "1000"]
    with Terminal(primed, *words) as terminal:
        eventually(lambda: terminal.settings() != terminal.before)
        # pid 1 that has no handler yet ignores a signal (pid_namespaces(7)).
        eventually(lambda: "sleep" in primed.minirun("exec", "shell", "ps", check=False).stdout)
        os.kill(terminal.command(), number)
        eventually(lambda: terminal.settings() == terminal.before)


@pytest.mark.parametrize(
    ("typed", "passed", "detached"),
    [
        ([b"abc"], b"abc", False),
        ([b"\x10\x11"], b"", True),
        ([b"a\x10", b"\x11b"], b"a", True),
        ([b"\x10", b"x"], b"\x10x", False),
        ([b"\x10\x10\x11"], b"\x10", True),
    ],
)
def test_detach_keys(typed: list[bytes], passed: bytes, detached: bool) -> None:
    keys = DetachKeys(b"\x10\x11")
    results = [keys.feed(data) for data in typed]
    assert b"".join(out for out, _ in results) == passed
    assert any(found for _, found in results) is detached


@pytest.mark.parametrize(("text", "keys"), [("", b"\x10\x11"), ("ctrl-a", b"\x01"), ("ctrl-],q", b"\x1dq")])
def test_detach_keys_are_read(text: str, keys: bytes) -> None:
    assert parse_detach_keys(text) == keys


@pytest.mark.parametrize("text", ["ctrl-", "ctrl-ab", "xy", "ctrl-a,", "é"])
def test_bad_detach_keys_are_refused(text: str) -> None:
    with pytest.raises(MinirunError, match="invalid detach keys"):
        parse_detach_keys(text)


@pytest.mark.parametrize(
    ("policy", "code", "restarts", "again"),
    [
        (Restart("no"), 1, 0, False),
        (Restart("always"), 0, 99, True),
        (Restart("unless-stopped"), 1, 99, True),
        (Restart("on-failure"), 0, 0, False),
        (Restart("on-failure"), 1, 99, True),
        (Restart("on-failure", 3), 1, 2, True),
        (Restart("on-failure", 3), 1, 3, False),
    ],
)
def test_restart_policies(policy: Restart, code: int, restarts: int, again: bool) -> None:
    assert wants_restart(policy, code, restarts) is again


def test_back_off_doubles_to_a_minute_and_forgets_after_a_steady_run() -> None:
    back_off = BackOff()
    assert [back_off.next(0) for _ in range(4)] == [0.1, 0.2, 0.4, 0.8]
    assert [back_off.next(0) for _ in range(9)][-1] == 60
    assert back_off.next(11) == 0.1


def test_rotation_keeps_files_whole_and_a_follower_misses_nothing(tmp_path: Any) -> None:
    writer = LogWriter(str(tmp_path / "log"), most=1000, files=4)
    reader = LogReader(tmp_path / "log")
    seen = b""
    for number in range(500):
        writer.write("stdout", b"line %d\n" % number)
        if number % 7 == 0:
            seen += b"".join(entry.data for entry in reader.entries())
    seen += b"".join(entry.data for entry in reader.entries())
    assert seen == b"".join(b"line %d\n" % number for number in range(500))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log", "log.1", "log.2", "log.3"]
    reader.close()
    writer.close()
    again = LogReader(tmp_path / "log")
    kept = b"".join(entry.data for entry in again.entries())
    again.close()
    assert seen.endswith(kept)
    assert len(kept) > 300


_FULL_DISK = """
import sys; sys.path.insert(0, sys.argv[1])
from pathlib import Path
from minirun.log import LogReader, LogWriter
writer = LogWriter("/mnt/log")
for _ in range(100):
    writer.write("stdout", b"x" * 1000 + b"\\n")
whole = list(LogReader(Path("/mnt/log")).entries())
assert 30 < len(whole) < 64 and all(entry.data == b"x" * 1000 + b"\\n" for entry in whole), whole
Path("/mnt/ballast").unlink()
writer.write("stdout", b"after\\n")
last = [entry.data for entry in LogReader(Path("/mnt/log")).entries()][-2:]
lost = (100 - len(whole)) * 1001
assert last == [b"minirun: %d bytes are missing here: the disk was full\\n" % lost, b"after\\n"], last
"""


def test_a_full_disk_costs_log_lines_never_the_format_and_says_so(host: Host) -> None:
    host.sh("mount -t tmpfs -o size=80k full /mnt && head -c 20000 /dev/zero > /mnt/ballast")
    host.run([sys.executable, "-c", _FULL_DISK, str(REPO)])


def test_a_spool_gives_back_all_frames_in_order(tmp_path: Any) -> None:
    spool = Spool(str(tmp_path))
    frames = [frame(Kind.OUT, bytes([number % 256]) * 5000) for number in range(300)]
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    got = bytearray()
    for number, piece in enumerate(frames):
        spool.add(piece)
        if number % 3 == 0:
            assert spool.flush(write_end)
            got += os.read(read_end, 9000)
    assert len(spool._pending) < HIGH_WATER + 2 * 5005
    while len(got) < sum(map(len, frames)):
        spool.flush(write_end)
        got += os.read(read_end, 65536)
    assert bytes(got) == b"".join(frames)
    assert [body[:1] for _, body in Parser().feed(bytes(got))] == [bytes([number % 256]) for number in range(300)]
    assert not spool
    assert isinstance(spool, Outbox)


def test_a_container_that_was_renamed_still_starts_again_by_itself(primed: Host) -> None:
    before = Snapshot.of(primed)
    primed.minirun("run", "-d", "--name", "old", "--restart=always", "busybox", "sleep", "1000")
    primed.minirun("rename", "old", "new")
    pid = state(primed, "new")["State"]["Pid"]
    primed.sh(f"kill -9 {pid}")
    eventually(lambda: state(primed, "new")["State"]["Pid"] not in (0, pid))
    assert primed.minirun("exec", "new", "ip", "-4", "addr", "show", "eth0").stdout
    primed.minirun("rm", "-f", "new")
    assert_same(primed, before)


def test_one_that_was_killed_while_paused_is_not_frozen_when_it_starts_again(primed: Host) -> None:
    primed.minirun("run", "-d", "--name", "web", "--net=none", "--restart=always", "busybox", "sleep", "1000")
    primed.minirun("pause", "web")
    pid = state(primed, "web")["State"]["Pid"]
    primed.sh(f"kill -9 {pid}")
    eventually(lambda: state(primed, "web")["State"]["Pid"] not in (0, pid))
    assert primed.minirun("exec", "web", "echo", "alive").stdout == "alive\n"


@pytest.mark.parametrize("delay", [0, 0.02, 0.05, 0.1, 0.13, 0.2])
def test_stop_holds_at_whatever_moment_it_comes(primed: Host, delay: float) -> None:
    """Between two runs, in the middle of one, while one is being started: it ends, and stays ended."""
    primed.minirun("run", "-d", "--name", "loop", "--net=none", "--restart=always", "busybox", "sleep", "0.03")
    time.sleep(delay)
    primed.minirun("stop", "-t", "0", "loop", timeout=10)
    assert status(primed, "loop") == "exited"
    time.sleep(0.5)
    assert status(primed, "loop") == "exited"


def test_a_signal_between_two_runs_hurts_nobody(primed: Host) -> None:
    primed.minirun("run", "-d", "--name", "loop", "--net=none", "--restart=always", "busybox", "false")
    eventually(lambda: state(primed, "loop")["RestartCount"] >= 4)
    say = (
        "import socket, sys, time; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]);"
        " s.sendall(bytes([6, 0, 0, 0, 1, 15]) + bytes([2, 0, 0, 0, 0]) + b'not our language'); time.sleep(0.1)"
    )
    directory = f"/var/lib/minirun/containers/{state(primed, 'loop')['Id']}"
    primed.sh(f'cd {directory} && {sys.executable} -c "{say}" attach')
    count = state(primed, "loop")["RestartCount"]
    eventually(lambda: state(primed, "loop")["RestartCount"] > count, 10)
    primed.minirun("rm", "-f", "loop")


def test_a_killed_shim_of_a_foreground_run_is_told_of(primed: Host) -> None:
    before = Snapshot.of(primed)
    for extra in ([], ["--rm"]):
        run = primed.popen(
            [MINIRUN, "run", *extra, "--name", "web", "--net=none", "busybox", "sleep", "1000"],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        eventually(lambda: status(primed, "web") == "running")
        primed.sh(f"kill -9 {state(primed, 'web')['State']['MonitorPid']}")
        assert run.wait(10) == 137
        assert run.stderr
        assert b"was killed" in run.stderr.read()
        if not extra:
            primed.minirun("rm", "web")
    assert_same(primed, before)


def test_one_whose_namespace_is_shared_is_restarted_without_taking_it_away(primed: Host) -> None:
    """Who shares it keeps its interfaces and what it listens on; address and published port stay the same."""
    before = Snapshot.of(primed)
    primed.minirun("run", "-d", "--name", "first", "-p", "8080:80", "busybox", "sleep", "1000")
    script = "mkdir /www; echo of the guest > /www/index.html; exec httpd -f -p 0.0.0.0:80 -h /www"
    primed.minirun("run", "-d", "--name", "guest", "--net=container:first", "busybox", "sh", "-c", script)

    def answers() -> bool:
        return "of the guest" in primed.sh("timeout 3 busybox wget -qO- http://127.0.0.1:8080/ 2>/dev/null || true")

    eventually(answers)
    addresses = primed.minirun("exec", "guest", "ip", "address").stdout
    for _ in range(3):
        primed.minirun("restart", "-t", "0", "first")
        assert primed.minirun("exec", "first", "ip", "address").stdout == addresses
        assert answers()
    primed.minirun("stop", "-t", "0", "first")
    assert primed.minirun("exec", "guest", "ip", "address").stdout == addresses
    primed.minirun("start", "first")
    assert answers()
    primed.minirun("rm", "-f", "first")
    assert primed.minirun("exec", "guest", "ip", "address").stdout == addresses
    primed.minirun("rm", "-f", "guest")
    assert_same(primed, before)


# Says how many connections there were, and how many bytes have come.
_LISTENER = """
import select, socket
server, channels, count = socket.create_server(("", 7000)), [], [0, 0]
while True:
    for one in select.select([server, *channels], [], [])[0]:
        if one is server:
            channels.append(server.accept()[0])
            count[0] += 1
        elif data := one.recv(999):
            count[1] += len(data)
        else:
            channels.remove(one)
    with open("/run/flow", "w") as file:
        file.write(f"{count[0]} {count[1]}")
"""


class Shared:
    """`owner` has a published port, and in its namespace lives `guest`, who talks to another machine all the time."""

    def __init__(self, host: Host) -> None:
        self.host, lan = host, host.neighbour(default_route=True)
        lan.popen([sys.executable, "-c", _LISTENER])
        eventually(lambda: "7000" in lan.sh("ss -Hlnt"))
        self.before = Snapshot.of(host)
        host.minirun("network", "create", "red")
        serve = "mkdir /www; echo of the owner > /www/index.html; exec httpd -f -p 0.0.0.0:80 -h /www"
        host.minirun("run", "-d", "--name", "owner", "--net=red", "-p", "8080:80", "busybox", "sh", "-c", serve)
        talk = f"(while :; do echo on; sleep 0.02; done) | nc {lan.address} 7000"
        host.minirun("run", "-d", "--name", "guest", "--net=container:owner", "busybox", "sh", "-c", talk)
        self.lease = self._lease("owner")
        self.check()

    def check(self, owner: str = "owner") -> None:
        """The port answers, the addresses are the same, and the guest's one connection goes on."""
        eventually(lambda: "of the owner" in self.host.sh("timeout 3 busybox wget -qO- http://127.0.0.1:8080/ || true"))
        assert self._lease(owner) == self.lease
        self.check_guest()

    def check_guest(self) -> None:
        connections, size = self._flow()
        assert connections == 1
        eventually(lambda: self._flow()[1] > size + 6)
        assert self._lease("guest") == self.lease

    def kill(self, name: str = "owner") -> str:
        pid = str(state(self.host, name)["State"]["Pid"])
        self.host.sh(f"kill -9 {pid}")
        return pid

    def _lease(self, name: str) -> str:
        return str(self.host.sh(f"ip -n {name} -br address; ip -n {name} route"))

    def _flow(self) -> tuple[int, int]:
        said = eventually(lambda: self.host.sh("cat /run/flow 2>/dev/null || true")).split()
        return int(said[0]), int(said[1])


def test_who_shares_a_namespace_does_not_notice_ten_restarts_of_its_owner(primed: Host) -> None:
    shared = Shared(primed)
    for _ in range(3):
        primed.minirun("restart", "-t", "0", "owner")
        shared.check()
    for _ in range(3):
        shared.kill()
        eventually(lambda: status(primed, "owner") == "exited")
        shared.check_guest()
        primed.minirun("start", "owner")
        shared.check()
    primed.minirun("update", "--restart=always", "owner")
    for _ in range(2):  # it crashes
        pid = shared.kill()
        eventually(lambda: state(primed, "owner")["State"]["Pid"] not in (0, int(pid)))  # noqa: B023
        shared.check()
    primed.minirun("rename", "owner", "renamed")
    shared.check("renamed")
    primed.minirun("restart", "-t", "0", "renamed")
    shared.check("renamed")
    primed.minirun("rename", "renamed", "owner")
    primed.sh(f"kill -9 {state(primed, 'owner')['State']['MonitorPid']}")
    eventually(lambda: status(primed, "owner") == "exited")
    primed.minirun("start", "owner")
    shared.check()
    primed.minirun("rm", "-f", "owner", "guest")
    primed.minirun("network", "rm", "red")
    assert_same(primed, shared.before)


def test_who_shares_a_namespace_does_not_notice_failing_starts_and_the_removal_of_its_owner(primed: Host) -> None:
    shared = Shared(primed)
    primed.minirun("run", "-d", "--name", "other", "--net=red", "busybox", "sleep", "1000")
    faulty = [sys.executable, str(REPO / "tests/harness/faulty.py")]
    primed.minirun("stop", "-t", "0", "owner")
    holder = primed.popen(["busybox", "nc", "-l", "-p", "8080"])
    eventually(lambda: "8080" in primed.sh("ss -Hlnt"))
    assert "already allocated" in primed.minirun("start", "owner", check=False).stderr
    shared.check_guest()
    holder.kill()
    primed.sh("pkill -f '[b]usybox nc -l'; true")
    for how in ("fail", "kill"):
        for number in range(2, 16, 4):
            primed.run([*faulty, how, str(number), "start", "owner"], check=False)
            shared.check_guest()
            primed.minirun("stop", "-t", "0", "owner")
    primed.minirun("start", "owner")
    shared.check()
    primed.minirun("rm", "-f", "owner")
    shared.check_guest()
    primed.minirun("exec", "guest", "ping", "-c", "1", "other")  # names are known to it still
    primed.minirun("rm", "-f", "guest", "other")
    primed.minirun("network", "rm", "red")
    assert_same(primed, shared.before)
