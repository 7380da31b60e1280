"""events: of the past, within a window, and as they happen."""

import json
import re
import signal
import subprocess
from typing import Any

import pytest

from tests.harness import Host
from tests.harness.host import MINIRUN


def events(host: Host, *words: str) -> list[dict[str, Any]]:
    lines = host.minirun("events", "--since", "1h", "--until", "0s", "--format", "json", *words).stdout.splitlines()
    return [json.loads(line) for line in lines]


def test_events_of_the_past_by_filters(peopled: Host) -> None:
    every = events(peopled)
    assert [one["Action"] for one in every if one["Actor"]["Attributes"].get("name") == "failed"] == [
        *("create", "start", "die")
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
    assert {one["from"] for one in events(peopled, "--filter", "image=busybox")} == {"busybox"}
    line = peopled.minirun("events", "--since", "1h", "--until", "0s", "--filter", "event=die").stdout
    assert re.fullmatch(
        r"[\d-]+T[\d:.]+Z container die [0-9a-f]{64} \(exitCode=3, image=busybox, name=failed\)\n", line
    )
    form = ("--format", "{{.Type}} {{.Action}} {{.Actor.Attributes.exitCode}}", "--filter", "event=die")
    assert peopled.minirun("events", "--since", "1h", "--until", "0s", *form).stdout == "container die 3\n"


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
    assert [stream.stdout.readline() for _ in range(3)] == [b"start\n", b"die\n", b"destroy\n"]
    primed.sh(f"pkill -{number.name} -f '[p]ython.*/minirun events'")  # and not timeout(1), which would send it again
    rest, errors = stream.communicate(timeout=10)
    assert (rest, errors) == (b"", b"")
    assert stream.returncode == 0
