"""stats: what a container uses."""

import json
import re
import subprocess
from typing import Any

import pytest

from tests.harness import Host, Terminal, eventually
from tests.harness.host import MINIRUN
from tests.integration.engine.states import BUSY


def top(host: Host, *words: str) -> list[list[str]]:
    """Cells of each line, the header first."""
    text = host.minirun("top", *words).stdout
    return [re.split(" {2,}", line) for line in text.splitlines()]


def stats(host: Host, *words: str) -> dict[str, dict[str, Any]]:
    lines = host.minirun("stats", "--no-stream", "--format", "json", *words).stdout.splitlines()
    return {row["Name"]: row for row in map(json.loads, lines)}


def test_stats_tell_what_is_used(watched: Host) -> None:
    found = stats(watched)
    assert set(found) == {"pair", "busy"}
    busy, pair = found["busy"], found["pair"]
    assert 15 < float(busy["CPUPerc"].rstrip("%")) < 130
    assert float(pair["CPUPerc"].rstrip("%")) < 10
    assert (busy["PIDs"], pair["PIDs"]) == ("1", "2")
    assert re.fullmatch(r"[\d.]+(K|M)iB / [\d.]+GiB", pair["MemUsage"])
    assert busy["NetIO"] == "0B / 0B"  # the host's traffic is not its own
    assert re.fullmatch(r"[\d.]+k?B / [\d.]+k?B", pair["BlockIO"])


def test_stats_count_bytes_threads_and_memory(primed: Host) -> None:
    rest = "[threading.Thread(target=time.sleep, args=[1000]).start() for _ in range(3)]"
    python = ("chroot", "/host", "python3", "-c", f"import threading, time; data = b'x' * 50_000_000; {rest}")
    primed.minirun("run", "-d", "--name", "big", "-v", "/:/host:ro", "busybox", *python)
    eventually(lambda: top(primed, "big", "-o", "pid,nlwp")[1][1] == "4", seconds=10)
    found = stats(primed)["big"]
    assert found["PIDs"] == "4"
    used, unit = re.fullmatch(r"([\d.]+)(\w+) / .*", found["MemUsage"]).groups()  # type: ignore[union-attr]
    assert unit == "MiB"
    assert 47 < float(used) < 80
    assert 0 < float(found["MemPerc"].rstrip("%")) < 5
    primed.minirun("run", "-d", "--name", "net", "busybox", "sh", "-c", "sleep 1000")
    primed.minirun("exec", "net", "ping", "-c", "1", "-s", "30000", "172.17.0.1")
    received, sent = stats(primed, "net")["net"]["NetIO"].split(" / ")
    assert received.endswith("kB")
    assert 30 < float(sent.removesuffix("kB")) < 40


def test_stats_of_a_limited_container_come_from_its_groups() -> None:
    with Host(hybrid=True) as host:
        if not host.sh("ls -d /sys/fs/cgroup/memory 2>/dev/null || true"):
            pytest.skip("this machine has no v1 controllers")
        limits = ("-m", "64m", "--pids-limit", "50")
        started = host.minirun("run", "-d", "--name", "lim", "--net=none", *limits, "busybox", *BUSY, check=False)
        assert started.returncode == 0, started.stderr
        found = stats(host)["lim"]
        assert found["MemUsage"].endswith(" / 64MiB")
        assert float(found["CPUPerc"].rstrip("%")) > 15
        assert found["PIDs"] == "1"


def test_stats_columns_choice_and_forms(watched: Host) -> None:
    header, *rows = watched.minirun("stats", "--no-stream", "-a").stdout.splitlines()
    assert re.split(" {2,}", header) == [
        *("CONTAINER ID", "NAME", "CPU %", "MEM USAGE / LIMIT", "MEM %", "NET I/O", "BLOCK I/O", "PIDS")
    ]
    assert [re.split(" {2,}", row)[1] for row in rows] == ["made", "busy", "pair"]
    assert re.split(" {2,}", rows[0])[2:] == ["0.00%", "0B / 0B", "0.00%", "0B / 0B", "0B / 0B", "0"]
    form = "{{.Container}} {{.Name}} {{len .ID}}"
    words = ("stats", "--no-stream", "--no-trunc", "--format", form, "made")
    assert watched.minirun(*words).stdout == "made made 64\n"
    table = watched.minirun("stats", "--no-stream", "--format", r"table {{.Container}}\t{{.PIDs}}", "made").stdout
    assert table == "CONTAINER   PIDS\nmade        0\n"
    done = watched.minirun("stats", "--no-stream", "nosuch", check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "No such container: nosuch" in done.stderr


def test_stats_in_a_pipe_follow_who_comes_and_goes(primed: Host) -> None:
    stream = primed.popen([MINIRUN, "stats", "--format", "{{.Name}}"], stdout=subprocess.PIPE)
    assert stream.stdout is not None
    primed.minirun("run", "-d", "--name", "first", "--net=none", "busybox", "sleep", "1000")
    primed.minirun("run", "-d", "--name", "second", "--net=none", "busybox", "sleep", "1000")
    seen = [stream.stdout.readline()]
    while b"second\n" not in seen[-2:]:
        seen.append(stream.stdout.readline())
    primed.minirun("rm", "-f", "second")
    lines = [stream.stdout.readline() for _ in range(4)]
    assert lines[-2:] == [b"first\n", b"first\n"]
    stream.kill()


def test_stats_of_named_ones_end_when_all_are_removed(primed: Host) -> None:
    primed.minirun("run", "-d", "--name", "web", "--net=none", "busybox", "sleep", "1000")
    stream = primed.popen([MINIRUN, "stats", "--format", "{{.Container}} {{.PIDs}}", "web"], stdout=subprocess.PIPE)
    assert stream.stdout is not None
    assert stream.stdout.readline() == b"web 1\n"
    primed.minirun("kill", "web")
    eventually(lambda: stream.stdout and stream.stdout.readline() == b"web 0\n")
    primed.minirun("rm", "web")
    assert stream.wait(10) == 0


def test_stats_at_a_terminal_redraw_in_place(watched: Host) -> None:
    with Terminal(watched, "stats") as terminal:
        first, second = (terminal.until(b"\x1b[J").decode() for _ in range(2))
        terminal.type(b"\x03")
        assert terminal.wait() == 130
    for screen in (first.removeprefix("\x1b[2J"), second):
        assert screen.startswith("\x1b[H")
        lines = screen.removesuffix("\x1b[J").split("\r\n")
        assert len(lines) == 4
        assert all(line.endswith("\x1b[K") for line in lines[:3])
    assert "--" in first.split("busy")[1].split("/")[0]  # a rate takes two looks
    assert "%" in second.split("busy")[1].split("/")[0]
