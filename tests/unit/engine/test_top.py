"""The columns of top, chosen as by ps, and their values."""

import os
import time

import pytest

from minirun.engine.top import choose_columns, cpu_time, elapsed_time, start_time
from minirun.errors import MinirunError
from minirun.kernel.procfs import HostClock, ProcessStatus, process_status, terminal_name
from tests.harness import eventually


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
