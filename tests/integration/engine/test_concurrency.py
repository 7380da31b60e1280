"""Many commands at once: on many containers, on one, and on one while another is busy."""

import itertools
import json
import random
import subprocess
import time
from typing import Any

import pytest

from tests.harness import Host, Snapshot, assert_same, eventually
from tests.harness.host import MINIRUN

QUIET: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
Done = tuple[int, str, str]


def _together(host: Host, commands: list[list[str]], timeout: float = 100) -> list[Done]:
    """(exit code, standard output, standard error) of each."""
    running = [host.popen([MINIRUN, *words], **QUIET) for words in commands]
    results = []
    for process in running:
        out, err = process.communicate(timeout=timeout)
        results.append((process.returncode, out.decode(), err.decode()))
    return results


def _events(host: Host, since: float) -> list[dict[str, Any]]:
    text = host.minirun("events", "--since", f"{since:.6f}", "--until", f"{time.time():.6f}", "--format", "json").stdout
    return [json.loads(line) for line in text.splitlines()]


def test_fifty_runs_leave_nothing_and_tell_of_all(primed: Host) -> None:
    before, began = Snapshot.of(primed), time.time()
    results = _together(primed, [["run", "--rm", "busybox", "true"]] * 50)
    assert [code for code, _, _ in results] == [0] * 50, {err for _, _, err in results}
    assert {err for _, _, err in results} == {""}
    assert primed.minirun("ps", "-aq").stdout == ""
    assert_same(primed, before)
    stories: dict[str, list[str]] = {}
    for event in _events(primed, began):
        if event["Type"] == "container":
            stories.setdefault(event["id"], []).append(event["Action"])
    assert len(stories) == 50
    assert {tuple(story) for story in stories.values()} == {("create", "attach", "start", "die", "destroy")}


def test_several_starts_of_one_container_start_it_once(primed: Host) -> None:
    """The others find it started, as with Docker."""
    for _ in range(4):
        began = time.time()
        primed.minirun("create", "--rm", "--name", "one", "--net=none", "busybox", "sleep", "1000")
        assert _together(primed, [["start", "one"]] * 4) == [(0, "one\n", "")] * 4
        assert [event["Action"] for event in _events(primed, began)] == ["create", "start"]
        primed.minirun("rm", "-f", "one")


def test_forty_execs_in_one(primed: Host) -> None:
    primed.minirun("run", "-d", "--name", "web", "--net=none", "busybox", "sleep", "1000")
    before = Snapshot.of(primed)
    results = _together(primed, [["exec", "web", "sh", "-c", f"echo {n}; exit {n}"] for n in range(40)])
    assert results == [(n, f"{n}\n", "") for n in range(40)]
    assert_same(primed, before)


_VERBS = [["rm", "-f"], ["stop", "-t", "0"], ["start"], ["restart", "-t", "0"], ["kill"], ["pause"], ["unpause"]]
_REASONS = (
    "No such container",
    "is not running",
    "is being started or removed by another command",
    "is not paused",
    "is already paused",
    "cannot remove container",
    "was removed",
    "the command that started it was ended",
)


@pytest.mark.parametrize("flags", [["-p", "8080:80"], ["--rm"], ["--restart=always", "--net=none"]], ids=" ".join)
def test_everything_at_once_on_one_container(primed: Host, flags: list[str]) -> None:
    """Whoever comes first wins; the others succeed, or say why not. No deadlock, no half state, nothing left."""
    before, chance = Snapshot.of(primed), random.Random(7)
    for _ in range(3):
        primed.minirun("run", "-d", "--name", "web", *flags, "busybox", "sleep", "1000")
        verbs = [*_VERBS, *chance.choices(_VERBS[1:], k=5)]
        chance.shuffle(verbs)
        for (code, _, err), words in zip(_together(primed, [[*one, "web"] for one in verbs], 60), verbs, strict=True):
            assert "Traceback" not in err
            assert code == 0 or any(reason in err for reason in _REASONS), (words, code, err)
            assert code in (0, 1), (words, code, err)
        _assert_whole(primed)
        primed.minirun("rm", "-f", "web")
        assert_same(primed, before)


def _assert_whole(host: Host) -> None:
    """Each container that is there is either running, with all that belongs to it, or stopped, with nothing."""
    for name in host.minirun("ps", "-aq").stdout.split():
        found = json.loads(host.minirun("inspect", name).stdout)[0]
        state = found["State"]
        assert state["Status"] in ("running", "exited", "paused"), state
        running = state["Status"] != "exited"
        assert bool(state["Pid"]) == running
        assert (
            host.run(["test", "-d", f"/proc/{state['Pid']}"], check=False).returncode == 0 and state["Pid"] > 0
        ) == (running)
        if state["Status"] == "running":
            assert host.minirun("exec", name, "echo", "well").stdout == "well\n"


@pytest.mark.parametrize(
    "pair", list(itertools.combinations(["rm -f", "stop -t 0", "start", "restart -t 0"], 2)), ids=" ".join
)
def test_two_against_each_other(primed: Host, pair: tuple[str, str]) -> None:
    before = Snapshot.of(primed)
    primed.minirun("run", "-d", "--name", "web", "busybox", "sleep", "1000")
    for _ in range(2):
        for code, _, err in _together(primed, [[*words.split(), "web"] for words in (*pair, *pair)], 60):
            assert code == 0 or any(reason in err for reason in _REASONS), err
        _assert_whole(primed)
        if "web" not in primed.minirun("ps", "-a").stdout:
            primed.minirun("run", "-d", "--name", "web", "busybox", "sleep", "1000")
    primed.minirun("rm", "-f", "web")
    assert_same(primed, before)


def test_one_busy_container_holds_up_no_other(primed: Host) -> None:
    """A stop that waits for a program which will not end, and one that is just starting."""
    primed.minirun("run", "-d", "--name", "other", "busybox", "sleep", "1000")
    primed.minirun(
        "run", "-d", "--name", "stubborn", "busybox", "sh", "-c", "trap '' TERM; while :; do sleep 0.1; done"
    )
    time.sleep(0.3)  # until it has its trap
    stopping = primed.popen([MINIRUN, "stop", "-t", "20", "stubborn"], **QUIET)
    eventually(lambda: "stop" in primed.sh("pgrep -fa '[m]inirun stop'", check=False))
    began = time.monotonic()
    for words in (
        ["run", "--rm", "busybox", "true"],
        ["exec", "other", "true"],
        ["exec", "stubborn", "true"],
        ["ps", "-a"],
        ["inspect", "stubborn"],
        ["logs", "stubborn"],
        ["restart", "-t", "0", "other"],
        ["rm", "-f", "other"],
    ):
        primed.minirun(*words)
    assert time.monotonic() - began < 8
    assert stopping.poll() is None
    primed.minirun("kill", "stubborn")
    assert stopping.wait(10) == 0
    primed.minirun("rm", "stubborn")


def test_stop_of_one_that_is_just_starting(primed: Host) -> None:
    """It is stopped all the same, not waited for."""
    before = Snapshot.of(primed)
    for delay in (0.0, 0.05, 0.1, 0.15):
        start = primed.popen([MINIRUN, "run", "-d", "--name", "web", "busybox", "sleep", "1000"], **QUIET)
        eventually(lambda: primed.minirun("ps", "-aq").stdout)
        time.sleep(delay)
        began = time.monotonic()
        primed.minirun("stop", "-t", "0", "web")
        assert time.monotonic() - began < 5
        assert start.wait(10) in (0, 125)
        assert primed.minirun("ps", "-q").stdout == ""
        primed.minirun("rm", "-f", "web")
    assert_same(primed, before)


def test_events_of_one_container_are_in_order(primed: Host) -> None:
    """Under parallel commands a run that started has ended before the next one starts, and dies once."""
    began = time.time()
    primed.minirun("run", "-d", "--name", "web", "--net=none", "busybox", "sleep", "1000")
    for _ in range(4):
        _together(primed, [[*words.split(), "web"] for words in ("restart -t 0", "start", "stop -t 0", "kill")], 60)
    primed.minirun("rm", "-f", "web")
    actions = [event["Action"] for event in _events(primed, began) if event["Type"] == "container"]
    lives = [action for action in actions if action in ("create", "start", "die", "destroy")]
    assert lives[0] == "create"
    assert lives[-1] == "destroy"
    assert lives[1:-1] == ["start", "die"] * (len(lives[1:-1]) // 2), lives
