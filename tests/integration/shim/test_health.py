"""Health checks: from starting to healthy and unhealthy."""

import json
import time
from datetime import datetime

import pytest

from tests.harness import Host, eventually


def _health(host: Host, name: str) -> dict[str, object]:
    found: dict[str, object] = json.loads(host.minirun("inspect", name).stdout)[0]["State"]["Health"]
    return found


def test_health_goes_from_starting_to_healthy_to_unhealthy(primed: Host) -> None:
    flags = ["--health-cmd=cat /ok", "--health-interval=100ms", "--health-retries=2"]
    primed.minirun("run", "-d", "--name", "web", *flags, "busybox", "sh", "-c", "touch /ok; sleep 1000")
    eventually(lambda: _health(primed, "web")["Status"] == "healthy")
    assert "(healthy)" in primed.minirun("ps").stdout
    primed.minirun("exec", "web", "rm", "/ok")
    eventually(lambda: _health(primed, "web")["Status"] == "unhealthy")
    state = _health(primed, "web")
    log = state["Log"]
    assert isinstance(log, list)
    assert len(log) <= 5
    assert log[-1]["ExitCode"] == 1
    assert "No such file" in log[-1]["Output"]
    assert int(str(state["FailingStreak"])) >= 2
    primed.minirun("pause", "web")
    primed.minirun("unpause", "web")
    primed.minirun("exec", "web", "touch", "/ok")
    eventually(lambda: _health(primed, "web")["Status"] == "healthy")
    primed.minirun("rm", "-f", "web")


def test_a_container_ends_at_once_whatever_its_check_is_at(primed: Host) -> None:
    """A check that was just being made when the program was killed once stayed a zombie, and the container with it."""
    flags = ["--net=none", "--health-cmd=true", "--health-interval=10ms"]
    for number in range(8):
        primed.minirun("run", "-d", "--name", "web", *flags, "busybox", "sleep", "1000")
        time.sleep(0.03 * number)
        primed.minirun("rm", "-f", "web", timeout=10)


def test_a_check_that_hangs_is_killed(primed: Host) -> None:
    flags = ["--health-cmd=sleep 1234", "--health-interval=100ms", "--health-timeout=200ms", "--health-retries=1"]
    primed.minirun("run", "-d", "--name", "web", *flags, "busybox", "sleep", "1000")
    eventually(lambda: _health(primed, "web")["Status"] == "unhealthy")
    log = _health(primed, "web")["Log"]
    assert isinstance(log, list)
    assert log[0]["ExitCode"] == -1
    assert log[0]["Output"] == "Health check exceeded timeout (0.2s)"
    primed.minirun("rm", "-f", "web")


@pytest.mark.parametrize("start_interval", ["50ms", "30s"])
def test_failures_of_the_start_period_do_not_count_and_those_at_its_end_do(primed: Host, start_interval: str) -> None:
    flags = ["--health-interval=50ms", "--health-start-period=1200ms", "--health-retries=1"]
    flags += ["--health-cmd=false", f"--health-start-interval={start_interval}"]
    primed.minirun("run", "-d", "--name", "web", *flags, "busybox", "sleep", "1000")
    state = json.loads(primed.minirun("inspect", "web").stdout)[0]["State"]
    assert state["Health"]["Status"] == "starting"
    eventually(lambda: _health(primed, "web")["Status"] == "unhealthy", 5)
    log = _health(primed, "web")["Log"]
    assert isinstance(log, list)
    after = datetime.fromisoformat(log[-1]["Start"][:26]) - datetime.fromisoformat(state["StartedAt"][:26])
    assert 1.1 < after.total_seconds() < 4
    primed.minirun("rm", "-f", "web")
