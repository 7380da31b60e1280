"""Terminals: their size, Ctrl-C, detach keys, and that they are given back."""

import os
import signal
import time
from collections.abc import Iterator

import pytest

from tests.harness import Host, Terminal, eventually


@pytest.fixture
def shell(crowded: Host) -> Iterator[Terminal]:
    with Terminal(crowded, "run", "-it", "--rm", "--name", "shell", "--net=none", "busybox", "sh", rows=33) as terminal:
        terminal.until(b"# ")
        yield terminal
    crowded.minirun("rm", "-f", "shell")


def test_a_new_size_arrives(crowded: Host, shell: Terminal) -> None:
    shell.type(b"stty size\n")
    shell.until(b"33 80")
    shell.until(b"# ")  # what is typed before busybox's shell asks for it is lost
    shell.resize(50, 132)
    shell.type(b"stty size\n")
    shell.until(b"50 132")
    with Terminal(crowded, "exec", "-it", "shell", "sh", rows=20, columns=70) as second:
        second.until(b"# ")
        second.type(b"stty size\n")
        second.until(b"20 70")
        second.until(b"# ")
        second.resize(21, 71)
        second.type(b"stty size\n")
        second.until(b"21 71")
        second.type(b"exit 5\n")
        assert second.wait() == 5
        assert second.settings() == second.before


def test_ctrl_c_is_the_programs(crowded: Host, shell: Terminal) -> None:
    shell.type(b"trap 'echo caught-it' INT; sleep 1000\n")
    time.sleep(0.3)
    shell.type(b"\x03")
    shell.until(b"caught-it\r\n")
    with Terminal(crowded, "run", "--rm", "-it", "--init", "--net=none", "busybox", "sleep", "1000") as sleeper:
        eventually(lambda: sleeper.settings() != sleeper.before)
        eventually(lambda: "sleep 1000" in crowded.sh("ps -wweo args --no-headers | grep '^sleep 1000'", check=False))
        time.sleep(0.2)
        sleeper.type(b"\x03")
        assert sleeper.wait() == 130
        assert sleeper.settings() == sleeper.before


@pytest.mark.parametrize(
    ("flags", "near_misses", "keys"),
    [([], b"\x10x", b"\x10\x11"), (["--detach-keys=ctrl-a,q"], b"\x01w\x01\x01w", b"\x01q")],
    ids=["default", "custom"],
)
def test_detach_and_attach_again(crowded: Host, flags: list[str], near_misses: bytes, keys: bytes) -> None:
    """What only began like the keys reaches the program, which sends it back."""
    words = ["run", "-it", *flags, "--name", "eye", "--net=none", "busybox", "sh", "-c", "stty raw -echo; exec cat"]
    with Terminal(crowded, *words) as first:
        eventually(lambda: first.settings() != first.before)
        eventually(lambda: " cat\n" in crowded.minirun("exec", "eye", "ps").stdout)
        first.type(near_misses + b"!")
        assert first.until(b"!") == near_misses + b"!"
        first.type(keys[:1])
        time.sleep(0.1)
        first.type(keys[1:])
        first.until(b"read escape sequence")
        assert first.wait() == 0
        assert first.settings() == first.before
    with Terminal(crowded, "attach", *flags, "eye") as second:
        eventually(lambda: second.settings() != second.before)
        second.type(b"again")
        second.until(b"again")
        second.type(keys)
        second.until(b"read escape sequence")
        assert second.wait() == 1
        assert second.settings() == second.before
    assert crowded.minirun("inspect", "--format", "{{.State.Status}}", "eye").stdout == "running\n"
    crowded.minirun("rm", "-f", "eye")


def test_the_terminal_is_given_back_by_exec_and_attach_that_are_killed(crowded: Host, shell: Terminal) -> None:
    for words in (["exec", "-it", "shell", "sleep", "1000"], ["attach", "shell"]):
        with Terminal(crowded, *words) as terminal:
            eventually(lambda: terminal.settings() != terminal.before)
            os.kill(terminal.command(), signal.SIGKILL)
            eventually(lambda: terminal.settings() == terminal.before)
