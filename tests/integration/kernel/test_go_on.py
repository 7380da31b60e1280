"""A process that goes on as another one: what the new process has, and when the old one ends (vfork(2))."""

import errno
import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from minirun.kernel import processes

TOLD: list[int] = []  # where the last helper's pids come from
OWN = processes.NEW_PID | processes.NEW_UTS | processes.NEW_IPC


def begun(life: Callable[[], None]) -> tuple[int, dict[str, int]]:
    """Fork a helper, which goes on as a new process, says what it sees, and lives. Returns its pid and that."""
    said, say = os.pipe()
    told, tell = os.pipe()

    def helper() -> int:
        os.close(said)
        signal.pthread_sigmask(signal.SIG_SETMASK, {signal.SIGUSR1})
        processes.clone_container(None, OWN, tell)
        seen = {"own": os.getpid(), "parent": os.getppid(), "mask": sum(signal.pthread_sigmask(0, set()))}
        os.write(say, json.dumps(seen).encode())
        os.close(say)
        life()
        return 7

    pid = processes.fork(helper, lambda error: os._exit(99))
    os.close(say)
    os.close(tell)
    seen = json.loads(os.read(said, 1000))  # up to the end of the helper it has no end
    os.close(said)
    TOLD.append(told)
    return pid, {"pid": processes.read_pid(told), **seen}


def test_the_new_process_is_a_child_of_the_same_parent_and_the_old_one_ends_with_execve() -> None:
    helper, seen = begun(lambda: os.execv("/bin/sleep", ["sleep", "0.5"]))
    assert (seen["own"], seen["parent"], seen["mask"]) == (1, 0, signal.SIGUSR1)
    assert os.waitpid(helper, 0) == (helper, 0)
    assert os.waitpid(seen["pid"], os.WNOHANG) == (0, 0)  # ours, and it still runs
    assert os.waitpid(seen["pid"], 0) == (seen["pid"], 0)
    assert (processes.read_pid(TOLD[-1]), processes.read_pid(TOLD.pop())) == (
        seen["pid"],
        0,
    )  # once more, by the helper


def test_the_old_one_ends_with_a_process_that_executes_nothing() -> None:
    helper, seen = begun(lambda: None)
    assert os.waitstatus_to_exitcode(os.waitpid(seen["pid"], 0)[1]) == 7
    assert os.waitpid(helper, 0) == (helper, 0)


def test_the_old_one_waits_and_no_signal_but_a_kill_reaches_it_meanwhile() -> None:
    helper, seen = begun(lambda: time.sleep(30))
    os.kill(helper, signal.SIGTERM)
    time.sleep(0.1)
    assert os.waitpid(helper, os.WNOHANG) == (0, 0)
    os.kill(helper, signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(helper, 0)[1]) == -signal.SIGKILL
    assert os.waitpid(seen["pid"], os.WNOHANG) == (0, 0)  # the new one has lost nothing
    os.kill(seen["pid"], signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(seen["pid"], 0)[1]) == -signal.SIGKILL


def test_a_process_that_is_killed_at_once_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever did not know of it could not reap it, and its pid namespace would never end."""
    told, tell = os.pipe()

    def helper() -> int:
        # What the new process does first.
        monkeypatch.setattr(processes.os, "write", lambda *_: os.kill(os.getpid(), signal.SIGKILL) or os._exit(1))
        processes.clone_container(None, OWN & ~processes.NEW_PID, tell)
        return 1

    pid = processes.fork(helper, lambda error: print(error))
    os.close(tell)
    new = processes.read_pid(told)
    assert os.waitstatus_to_exitcode(os.waitpid(new, 0)[1]) == -signal.SIGKILL
    assert os.waitpid(pid, 0) == (pid, 0)
    assert processes.read_pid(told) == 0


def test_a_refusal_is_an_error_in_the_old_one(tmp_path: Path) -> None:
    """Such as a directory that is no cgroup."""

    def helper() -> int:
        with pytest.raises(OSError) as refused:
            processes.clone_container(tmp_path, OWN, 2)
        assert signal.pthread_sigmask(0, set()) == set()
        return 0 if refused.value.errno == errno.EBADF else 1

    pid = processes.fork(helper, lambda error: print(error))
    assert os.waitpid(pid, 0) == (pid, 0)
