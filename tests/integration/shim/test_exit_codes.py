"""Signals to a command, exit codes, and the end of a container."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.harness import Host, assert_same, eventually
from tests.harness.host import MINIRUN
from tests.harness.snapshot import Snapshot

_PATIENT = "trap 'echo int; exit 3' INT; trap 'echo term; exit 4' TERM; echo ready; while :; do sleep 0.1; done"


def _signalled(host: Host, words: list[str], number: int) -> "subprocess.Popen[bytes]":
    # A suite that was started in the background ignores SIGINT, and so would all that it starts.
    heed = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}
    process = host.popen([MINIRUN, *words], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, **heed)
    assert process.stdout
    assert process.stdout.readline() == b"ready\n"
    os.kill(int(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()[0]), number)
    return process


@pytest.mark.parametrize(
    ("number", "said", "code"), [(signal.SIGINT, b"int\n", 3), (signal.SIGTERM, b"term\n", 4)], ids=["INT", "TERM"]
)
def test_signals_to_the_command_are_the_programs(crowded: Host, number: int, said: bytes, code: int) -> None:
    for words in (["run", "--rm", "--net=none", "busybox"], ["exec", "base"]):
        process = _signalled(crowded, [*words, "sh", "-c", _PATIENT], number)
        assert process.stdout
        assert process.stdout.read() == said
        assert process.wait(10) == code


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, -15)], ids=["INT", "TERM"])
def test_without_sig_proxy_the_signal_is_the_commands_own(crowded: Host, number: int, code: int) -> None:
    words = ["run", "--sig-proxy=false", "--name", "deaf", "--net=none", "busybox", "sh", "-c", _PATIENT]
    assert _signalled(crowded, words, number).wait(10) == code
    assert crowded.minirun("inspect", "--format", "{{.State.Status}}", "deaf").stdout == "running\n"
    crowded.minirun("rm", "-f", "deaf")


def test_init_reaps_what_others_leave(crowded: Host) -> None:
    leave = "for i in 1 2 3; do (sleep 0.2 & exit) & done; sleep 0.6; ps -o stat,args | grep -c '^Z'; true"
    without = crowded.minirun("run", "--rm", "--net=none", "busybox", "sh", "-c", f'exec sh -c "{leave}"').stdout
    assert crowded.minirun("run", "--rm", "--init", "--net=none", "busybox", "sh", "-c", leave).stdout == "0\n", without


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["nosuch"], 127),
        (["/etc/passwd"], 126),
        (["sh", "-c", "exit 9"], 9),
        (["sh", "-c", "kill -11 $$"], 139),
        (["sh", "-c", "kill -15 $$"], 143),
    ],
    ids=lambda value: value[-1] if isinstance(value, list) else "",
)
def test_exit_codes_of_exec_run_start_and_wait(crowded: Host, words: list[str], code: int) -> None:
    assert crowded.minirun("exec", "base", *words, check=False).returncode == code
    # With an init the program is not pid 1, which ignores its own signals.
    run = ["--init", "--name", "code", "--net=none", "busybox", *words]
    if words[0] in ("nosuch", "/etc/passwd"):
        assert crowded.minirun("run", *run, check=False).returncode == code
        assert "code" not in crowded.minirun("ps", "-a").stdout
        crowded.minirun("create", *run)
        assert crowded.minirun("start", "-a", "code", check=False).returncode == code
    else:
        assert crowded.minirun("run", *run, check=False).returncode == code
        assert crowded.minirun("start", "-a", "code", check=False).returncode == code
    assert crowded.minirun("wait", "code").stdout == f"{code}\n"
    crowded.minirun("rm", "code")


def test_wait_before_and_after_the_end_by_several_and_of_one_that_removes_itself(crowded: Host) -> None:
    for flags in ([], ["--rm"]):
        crowded.minirun("run", "-di", *flags, "--name", "long", "--net=none", "busybox", "sh", "-c", "read a; exit 12")
        waiters = [crowded.popen([MINIRUN, "wait", "long"], stdout=subprocess.PIPE) for _ in range(5)]
        time.sleep(0.5)
        assert all(waiter.poll() is None for waiter in waiters)
        crowded.sh(f"echo | timeout 10 {MINIRUN} attach long", check=False)
        assert [waiter.communicate(timeout=10)[0] for waiter in waiters] == [b"12\n"] * 5
        if not flags:
            assert crowded.minirun("wait", "long", "long").stdout == "12\n12\n"
            crowded.minirun("rm", "long")
    done = crowded.minirun("wait", "long", check=False)
    assert (done.returncode, "No such container: long" in done.stderr) == (1, True)


_ENDS = {
    "exit": ["busybox", "sh", "-c", "sleep 0.3; exit 3"],
    "init killed": "kill -9 {Pid}",
    "shim killed": "kill -9 {MonitorPid}",
    "both killed": "kill -9 {Pid} {MonitorPid}",  # the other way round, the kernel may be faster
    "stop": "minirun stop -t 0 brief",
    "kill": "minirun kill brief",
    "rm -f": "minirun rm -f brief",
    "restart, stop": "minirun restart -t 0 brief; minirun stop -t 0 brief",
}


@pytest.mark.parametrize("how", list(_ENDS))
def test_rm_leaves_nothing_however_it_ends(crowded: Host, how: str) -> None:
    before = Snapshot.of(crowded)
    end = _ENDS[how]
    program = end if isinstance(end, list) else ["busybox", "sleep", "1000"]
    crowded.minirun("run", "-d", "--rm", "--name", "brief", "-p", "8080:80", *program)
    if isinstance(end, str):
        pids = crowded.minirun("inspect", "--format", "{{.State.Pid}} {{.State.MonitorPid}}", "brief").stdout.split()
        crowded.sh(f"PATH={Path(MINIRUN).parent}:$PATH; " + end.format(Pid=pids[0], MonitorPid=pids[1]))
    eventually(lambda: "brief" not in crowded.minirun("ps", "-a").stdout)
    assert_same(crowded, before)
