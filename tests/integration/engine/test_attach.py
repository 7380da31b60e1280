"""Attach: several at once, slow readers, detach keys, and the terminal given back."""

import os
import signal
import subprocess
import time

import pytest

from tests.harness import Host, Terminal, eventually
from tests.harness.host import MINIRUN
from tests.integration.engine.states import status


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
