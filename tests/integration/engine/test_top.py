"""top: the processes of a container, as the ps of the host shows them."""

import re
import sys

import pytest

from tests.harness import Host, eventually
from tests.harness.host import MINIRUN, REPO
from tests.integration.engine.states import BUSY


def top(host: Host, *words: str) -> list[list[str]]:
    """Cells of each line, the header first."""
    text = host.minirun("top", *words).stdout
    return [re.split(" {2,}", line) for line in text.splitlines()]


def test_top_shows_the_processes_as_the_host_s_ps_does(watched: Host) -> None:
    init = watched.minirun("inspect", "-f", "{{.State.Pid}}", "pair").stdout.strip()

    def look() -> bool:
        """The share of the CPU falls while a process sleeps, so one of the two may see the next number already."""
        header, *rows = top(watched, "pair")
        assert header == ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]
        assert rows[0][1] == init
        pids = ",".join(row[1] for row in rows)
        ps = watched.sh(f"ps -o user,pid,ppid,c,stime,time,args -p {pids}").splitlines()[1:]
        assert [" ".join(row[:5] + row[6:]) for row in rows] == [" ".join(line.split()) for line in ps]
        assert [row[7] for row in rows] == ["sleep 2000", "sleep 1000"]
        assert {row[5] for row in rows} == {"pts/0"}
        return True

    eventually(look)


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
