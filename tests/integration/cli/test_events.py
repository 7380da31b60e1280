"""events: of the past, within a window, and as they happen."""

import json
import re
import signal
import subprocess
from typing import Any

import pytest

from tests.harness import Host, eventually
from tests.harness.host import MINIRUN


def events(host: Host, *words: str) -> list[dict[str, Any]]:
    lines = host.minirun("events", "--since", "1h", "--until", "0s", "--format", "json", *words).stdout.splitlines()
    return [json.loads(line) for line in lines]


def test_events_of_the_past_by_filters(peopled: Host) -> None:
    every = events(peopled)
    assert [one["Action"] for one in every if one["Actor"]["Attributes"].get("name") == "failed"] == [
        *("create", "attach", "start", "die")
    ]
    assert [one["time"] for one in every] == sorted(one["time"] for one in every)
    die = events(peopled, "--filter", "event=die", "--filter", "type=container")
    assert [one["Actor"]["Attributes"]["exitCode"] for one in die] == ["3"]
    assert {one["Action"] for one in events(peopled, "--filter", "container=still")} == {"create", "start", "pause"}
    # Names that can be no beginning of anybody's id.
    both = events(peopled, "--filter", "container=web", "--filter", "container=still", "--filter", "event=create")
    assert {one["Actor"]["Attributes"]["name"] for one in both} == {"web", "still"}
    labelled = events(peopled, "--filter", "label=tier=front", "--filter", "event=start")
    assert [one["Actor"]["Attributes"]["name"] for one in labelled] == ["well"]
    assert events(peopled, "--filter", "image=nosuch") == []
    assert {one["from"] for one in events(peopled, "--filter", "image=busybox", "--filter", "type=container")} == {
        "busybox"
    }
    line = peopled.minirun("events", "--since", "1h", "--until", "0s", "--filter", "event=die").stdout
    assert re.fullmatch(
        r"[\d-]+T[\d:.]+Z container die [0-9a-f]{64} \(execDuration=\d+, exitCode=3, image=busybox, name=failed\)\n",
        line,
    )
    form = ("--format", "{{.Type}} {{.Action}} {{.Actor.Attributes.exitCode}}", "--filter", "event=die")
    assert peopled.minirun("events", "--since", "1h", "--until", "0s", *form).stdout == "container die 3\n"


def _told(host: Host, *filters: str) -> list[tuple[str, dict[str, str]]]:
    return [
        (one["Action"], {key: text for key, text in one["Actor"]["Attributes"].items() if key not in ("image", "name")})
        for one in events(host, *(word for text in filters for word in ("--filter", text)))
    ]


def test_events_of_a_life(primed: Host) -> None:
    """As docker 28.2 tells it."""
    run = ("sh", "-c", "trap '' TERM USR1; sleep 1000")
    primed.minirun("run", "-d", "--name", "web", "busybox", *run)
    primed.minirun("stop", "-t", "0", "web")
    primed.minirun("restart", "-t", "0", "web")
    primed.minirun("restart", "-t", "0", "web")
    primed.minirun("kill", "-s", "USR1", "web")
    primed.minirun("kill", "web")
    primed.minirun("start", "web")
    primed.minirun("rm", "-f", "web")
    told = _told(primed, "container=web", "type=container")
    actions = " ".join(action + details.get("signal", "") for action, details in told)
    assert actions == (
        "create start kill15 kill9 die stop start restart kill15 kill9 die stop start restart"
        " kill10 kill9 die start kill9 die destroy"
    )
    assert {details["exitCode"] for action, details in told if action == "die"} == {"137"}


def test_events_of_exec_and_attach(primed: Host) -> None:
    primed.minirun("run", "-d", "--name", "web", "busybox", "sleep", "1000")
    primed.minirun("exec", "web", "sh", "-c", "exit 4", check=False)
    primed.minirun("exec", "web", "nosuch", check=False)
    done = _told(primed, "container=web", "type=container")[2:]
    assert [action for action, _ in done] == [
        *("exec_create: sh -c exit 4", "exec_start: sh -c exit 4", "exec_die"),
        *("exec_create: nosuch ", "exec_start: nosuch "),
    ]
    first = {details["execID"] for _, details in done[:3]}
    assert (len(first), len({details["execID"] for _, details in done})) == (1, 2)
    assert done[2][1]["exitCode"] == "4"
    assert [action for action, _ in _told(primed, "event=exec_create")] == [done[0][0], done[3][0]]
    wait = "while ! [ -e /go ]; do sleep 0.05; done"
    running = primed.popen([MINIRUN, "exec", "web", "sh", "-c", wait])
    eventually(lambda: len(_exec_ids(primed)) == 1)
    started = _told(primed, "event=exec_start")[-1][1]["execID"]
    assert _exec_ids(primed) == [started]
    primed.minirun("exec", "-d", "web", "sh", "-c", wait)
    both = _exec_ids(primed)
    assert (started in both, len(both)) == (True, 2)
    primed.minirun("exec", "web", "touch", "/go")
    running.wait(10)
    eventually(lambda: _exec_ids(primed) == [])
    eventually(lambda: {details["execID"] for _, details in _told(primed, "event=exec_die")} >= set(both))
    joined = primed.popen([MINIRUN, "attach", "--no-stdin", "web"])
    eventually(lambda: "attach" in [action for action, _ in _told(primed, "container=web")])
    primed.minirun("kill", "web")
    joined.wait(10)


def _exec_ids(host: Host) -> list[str]:
    found = json.loads(host.minirun("inspect", "-f", "{{json .ExecIDs}}", "web").stdout)
    assert found != []  # null when there are none, as in Docker
    return found or []


def test_events_of_images(primed: Host) -> None:
    primed.minirun("create", "--name", "made", "busybox", "true")
    identity = primed.minirun("commit", "-m", "why", "made", "new:1").stdout.strip()
    primed.minirun("tag", "new:1", "new:2")
    primed.minirun("rmi", "new:1", "new:2")
    ids = {one["Actor"]["ID"] for one in events(primed, "--filter", "type=image", "--filter", f"image={identity}")}
    assert ids == {identity}
    assert _told(primed, f"image={identity}") == [(action, {}) for action in ("tag", "tag", "untag", "untag", "delete")]
    assert _told(primed, "event=commit") == [
        ("commit", {"comment": "why", "imageID": identity, "imageRef": "new:1"}),
    ]


def test_events_of_files_and_prunes(primed: Host) -> None:
    primed.minirun("run", "-d", "--name", "web", "busybox", "sleep", "1000")
    primed.minirun("cp", "/etc/hostname", "web:/h")
    primed.sh(f"{MINIRUN} cp web:/h - >/run/archive && {MINIRUN} export -o /run/whole web")
    assert primed.minirun("cp", "web:/nosuch", "/run/x", check=False).returncode == 1
    primed.minirun("top", "web")
    assert [action for action, _ in _told(primed, "container=web", "type=container")][2:] == [
        *("extract-to-dir", "archive-path", "export", "top")
    ]
    primed.minirun("system", "prune", "-f", "--volumes")
    kinds = {one["Type"]: one["Actor"] for one in events(primed, "--filter", "event=prune")}
    assert sorted(kinds) == ["builder", "container", "image", "network", "volume"]
    assert kinds["container"] == {"ID": "", "Attributes": {"reclaimed": "0"}}


def test_events_by_template(peopled: Host) -> None:
    form = "{{.Status}} {{.From}} {{.Scope}} {{eq .ID .Actor.ID}} {{.Time}}"
    words = ("events", "--since", "1h", "--until", "0s", "--filter", "container=failed", "--filter", "event=die")
    assert re.fullmatch(r"die busybox local true \d{10}\n", peopled.minirun(*words, "--format", form).stdout)
    assert "can't evaluate field Nope" in peopled.minirun(*words, "--format", "{{.Nope}}", check=False).stderr


def test_events_within_a_window(peopled: Host) -> None:
    every = events(peopled)
    middle = every[len(every) // 2]["timeNano"]
    stamp = f"{middle // 10**9}.{middle % 10**9:09d}"
    after = peopled.minirun("events", "--since", stamp, "--until", "0s", "--format", "{{.timeNano}}").stdout.split()
    assert after == [str(one["timeNano"]) for one in every if one["timeNano"] >= middle]
    before = peopled.minirun("events", "--since", "1h", "--until", stamp, "--format", "{{.timeNano}}").stdout.split()
    assert before == [str(one["timeNano"]) for one in every if one["timeNano"] <= middle]
    assert peopled.minirun("events", "--until", "1h").stdout == ""  # what is yet to come has come too late
    assert "invalid value for time" in peopled.minirun("events", "--since", "x", check=False).stderr
    assert "invalid filter 'colour'" in peopled.minirun("events", "--filter", "colour=x", check=False).stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_events_are_told_as_they_happen_until_a_signal(primed: Host, number: signal.Signals) -> None:
    primed.minirun("create", "--name", "short", "--net=none", "busybox", "true")
    words = ("events", "--since", "1h", "--filter", "container=short", "--format", "{{.Action}}")
    stream = primed.popen(["timeout", "30", MINIRUN, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert stream.stdout is not None
    assert stream.stdout.readline() == b"create\n"  # it has told the past, and waits
    primed.minirun("start", "-a", "short")
    primed.minirun("rm", "short")
    assert [stream.stdout.readline() for _ in range(4)] == [b"attach\n", b"start\n", b"die\n", b"destroy\n"]
    primed.sh(f"pkill -{number.name} -f '[p]ython.*/minirun events'")  # and not timeout(1), which would send it again
    rest, errors = stream.communicate(timeout=10)
    assert (rest, errors) == (b"", b"")
    assert stream.returncode == 0
