"""Looking at what runs: top and stats, on a host where no controller counts for containers, and on one with v1's."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from minirun.engine.top import choose_columns, cpu_time, elapsed_time, start_time
from minirun.errors import MinirunError
from minirun.kernel.procfs import HostClock, ProcessStatus, process_status, terminal_name
from tests.harness import Host, Terminal, eventually
from tests.harness.host import MINIRUN, REPO

BUSY = ("sh", "-c", "while :; do :; done")


@pytest.fixture(scope="module")
def watched() -> Iterator[Host]:
    with Host() as host:
        run = ("run", "-d", "--name")
        host.minirun(*run, "pair", "-t", "busybox", "sh", "-c", "sleep 1000 & exec sleep 2000")
        host.minirun(*run, "busy", "--net=host", "busybox", *BUSY)
        host.minirun("create", "--name", "made", "busybox", "true")
        yield host


def top(host: Host, *words: str) -> list[list[str]]:
    """Cells of each line, the header first."""
    text = host.minirun("top", *words).stdout
    return [re.split(" {2,}", line) for line in text.splitlines()]


# --- top


def test_top_shows_the_processes_as_the_host_s_ps_does(watched: Host) -> None:
    header, *rows = top(watched, "pair")
    assert header == ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]
    init = watched.minirun("inspect", "-f", "{{.State.Pid}}", "pair").stdout.strip()
    assert rows[0][1] == init
    pids = ",".join(row[1] for row in rows)
    ps = watched.sh(f"ps -o user,pid,ppid,c,stime,time,args -p {pids}").splitlines()[1:]
    assert [" ".join(row[:5] + row[6:]) for row in rows] == [" ".join(line.split()) for line in ps]
    assert [row[7] for row in rows] == ["sleep 2000", "sleep 1000"]
    assert {row[5] for row in rows} == {"pts/0"}


def test_top_takes_the_usual_fields_of_ps(watched: Host) -> None:
    fields = "pid,ppid,pgid,sid,uid,gid,user,group,comm,stat,s,nice,pri,rss,vsz,nlwp,args"
    header, *rows = top(watched, "pair", "-o", fields)
    pids = ",".join(row[0] for row in rows)
    ps = [line.split(None, 16) for line in watched.sh(f"ps -o {fields} -p {pids}").splitlines()]
    assert header == ps[0]
    assert rows == ps[1:]
    assert top(watched, "pair", "-eo", "pid,comm")[1:] == [[row[0], "sleep"] for row in rows]
    assert top(watched, "pair", "-opid")[1:] == [[row[0]] for row in rows]
    header, row, *_ = top(watched, "busy", "aux")
    assert header == ["USER", "PID", "%CPU", "%MEM", "VSZ", "RSS", "TTY", "STAT", "START", "TIME", "COMMAND"]
    assert (row[0], row[6], row[10]) == ("root", "?", " ".join(BUSY))
    assert float(row[2]) > 20


def test_without_groups_the_pid_namespace_tells_the_same(watched: Host) -> None:
    """As on hosts without the v2 hierarchy."""
    pids = [row[0] for row in top(watched, "pair", "-o", "pid")[1:]]
    look = f"from minirun.kernel.procfs import namespace_members; print(*sorted(namespace_members({pids[0]})))"
    found = watched.run([sys.executable, "-c", look], cwd=REPO).stdout.split()
    assert found == pids


def test_top_sees_who_came_by_exec(watched: Host) -> None:
    visitor = watched.popen([MINIRUN, "exec", "pair", "sleep", "77"])
    eventually(lambda: [row[-1] for row in top(watched, "pair", "-o", "pid,args")].count("sleep 77") == 1)
    watched.sh("pkill -f '[s]leep 77'")
    visitor.wait()


def test_top_escapes_what_a_process_calls_itself(primed: Host) -> None:
    script = r"printf 'a) R 1\n\033[2J' > /proc/self/comm; sleep 1000; : '" + "\x1b[31m\n\u202e'"
    primed.minirun("run", "-d", "--name", "rude", "--net=none", "busybox", "sh", "-c", script)
    eventually(lambda: "a) R 1" in primed.minirun("top", "rude", "-o", "pid,comm").stdout)
    text = primed.minirun("top", "rude", "-o", "pid,ppid,comm,args").stdout
    assert len(text.splitlines()) == 3
    assert "\x1b" not in text
    assert r"a) R 1\n\x1b[2J" in text
    assert r"sleep 1000; : '\x1b[31m\n\u202e'" in text
    _, init, child = [line.split() for line in text.splitlines()]
    assert child[1] == init[0]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["nosuch"], "No such container: nosuch"),
        (["made"], " is not running"),
        (["pair", "-o", "args"], "Couldn't find PID field in ps output"),
        (["pair", "-o", "pid,color"], 'unknown user-defined format specifier "color"'),
        (["pair", "-o"], "the fields are missing"),
        (["pair", "--sort=pid"], "option --sort=pid of ps is not supported"),
        (["pair", "-q", "1"], "option -q of ps is not supported"),
        (["pair", "-"], "option - of ps is not supported"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_top_refuses(watched: Host, words: list[str], says: str) -> None:
    done = watched.minirun("top", *words, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert says in done.stderr


@pytest.mark.parametrize(
    ("words", "headers"),
    [
        ([], "UID PID PPID C STIME TTY TIME CMD"),
        (["-e", "-f"], "UID PID PPID C STIME TTY TIME CMD"),
        (["-A"], "PID TTY TIME CMD"),
        (["ax"], "PID TTY STAT TIME COMMAND"),
        (["-aux"], "USER PID %CPU %MEM VSZ RSS TTY STAT START TIME COMMAND"),
        (["axo", "pid,ni", "-o", "etime"], "PID NI ELAPSED"),
        (["-eo", "PID user"], "PID USER"),
    ],
    ids=str,
)
def test_the_options_of_ps_choose_columns(words: list[str], headers: str) -> None:
    assert " ".join(column.header for column in choose_columns(words)) == headers


def test_columns_of_other_times_and_states() -> None:
    assert (cpu_time(59), cpu_time(3 * 86400 + 3661)) == ("00:00:59", "3-01:01:01")
    assert [elapsed_time(one) for one in (61, 3661, 90061)] == ["01:01", "01:01:01", "1-01:01:01"]
    now = time.mktime((2026, 3, 10, 12, 0, 0, 0, 0, -1))
    assert [start_time(now - one, now) for one in (60, 2 * 86400, 400 * 86400)] == ["11:59", "Mar08", "2025"]
    assert [terminal_name(os.makedev(*one)) for one in ((0, 0), (136, 3), (137, 1), (4, 1), (4, 65))] == [
        *("?", "pts/3", "pts/257", "tty1", "ttyS1")
    ]
    zombie = os.fork()
    if not zombie:
        os._exit(0)
    found = eventually(lambda: (one := process_status(zombie)) and one.state == "Z" and one)
    assert isinstance(found, ProcessStatus)
    shown = [column.form(found, HostClock(1e9, 0, 1)) for column in choose_columns(["-o", "pid,stat,args"])]
    os.waitpid(zombie, 0)
    assert shown[1][0] == "Z"
    assert shown[2].endswith("<defunct>")
    assert process_status(zombie) is None
    with pytest.raises(MinirunError):
        choose_columns(["-Z"])


# --- stats


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
