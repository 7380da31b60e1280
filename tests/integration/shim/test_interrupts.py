"""Ctrl-C where the program ignores it: a hint, and the third one leaves the command, as Docker's does."""

import signal
import subprocess
import time

import pytest

from tests.harness import Host, Terminal, eventually
from tests.harness.host import MINIRUN

HINT = b"the program has not ended"
LEAVES = b"minirun: got 3 SIGTERM/SIGINTs, forcefully exiting"
DEAF = ("busybox", "sh", "-c", "echo up; exec httpd -f")  # as pid 1
STUBBORN = ("sh", "-c", "trap '' INT TERM; echo up; while :; do sleep 0.1; done")


def test_three_times_ctrl_c_leave_a_program_that_ignores_it(primed: Host) -> None:
    with Terminal(primed, "run", "--name", "deaf", *DEAF) as terminal:
        terminal.until(b"up")
        terminal.type(b"\x03")
        terminal.until(HINT)
        terminal.until(b"minirun stop deaf")
        terminal.type(b"\x03")
        time.sleep(0.2)
        terminal.type(b"\x03")
        terminal.until(LEAVES)
        assert terminal.wait() == 1
    assert primed.minirun("inspect", "-f", "{{.State.Status}}", "deaf").stdout == "running\n"
    with Terminal(primed, "attach", "deaf") as terminal:
        for _ in range(3):
            time.sleep(0.3)
            terminal.type(b"\x03")
        terminal.until(LEAVES)
        assert terminal.wait() == 1
    primed.minirun("rm", "-f", "deaf")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("verb", ["run", "exec", "start"])
def test_signals_from_elsewhere_count_too_but_give_no_hint(crowded: Host, verb: str, number: int) -> None:
    words = {
        "run": ["run", "--rm", "--name", "stubborn", "busybox", *STUBBORN],
        "exec": ["exec", "base", *STUBBORN],
        "start": ["start", "-a", "stubborn"],
    }[verb]
    if verb == "start":
        crowded.minirun("create", "--name", "stubborn", "busybox", *STUBBORN)
    script = ["bash", "-c", 'trap - INT; exec "$0" "$@"', MINIRUN, *words]
    process = crowded.popen(script, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"up\n"
    command = crowded.sh(f"pgrep -o -f '[m]inirun {' '.join(words[:3])}'").strip()
    for _ in range(2):
        crowded.sh(f"kill -{number} {command}")
        time.sleep(0.7)
        assert process.poll() is None
    crowded.sh(f"kill -{number} {command}")
    _, errors = process.communicate(timeout=10)
    assert process.returncode == 1
    assert errors.strip() == LEAVES
    if verb == "exec":  # the process ends with its command; a container goes on
        eventually(lambda: not crowded.sh("pgrep -f '[t]rap'", check=False))
    else:
        assert crowded.sh("pgrep -f '[t]rap'")
    crowded.minirun("rm", "-f", "stubborn", check=False)


def test_a_program_that_heeds_it_ends_without_a_hint(primed: Host) -> None:
    script = "trap 'sleep 0.3; exit 7' INT; echo up; while :; do sleep 0.05; done"
    with Terminal(primed, "run", "--rm", "busybox", "sh", "-c", script) as terminal:
        terminal.until(b"up")
        terminal.type(b"\x03")
        assert terminal.wait() == 7
        assert HINT not in terminal.rest()


def test_in_a_terminal_of_its_own_ctrl_c_is_the_programs(primed: Host) -> None:
    with Terminal(primed, "run", "--rm", "-it", "busybox", *STUBBORN) as terminal:
        terminal.until(b"up")
        for _ in range(4):
            terminal.type(b"\x03")
            time.sleep(0.1)
        time.sleep(1)
        terminal.type(b"\x10\x11")  # the detach keys
        assert terminal.wait() == 0
        assert HINT not in terminal.rest()
