"""What the program gets from minirun's caller: nothing that Docker's engine, which has no caller, would not give it."""

import pytest

from tests.harness import Host
from tests.harness.host import MINIRUN

_SCORE = ("cat", "/proc/self/oom_score_adj")


def scored(host: Host, score: int, *words: str) -> str:
    script = f'echo {score} > /proc/self/oom_score_adj; exec "$0" "$@"'
    return str(host.run(["sh", "-c", script, MINIRUN, *words]).stdout)


@pytest.mark.parametrize("flags", [[], ["--userns=auto"], ["--net=host"], ["-t"]])
@pytest.mark.parametrize("score", [300, -300])
def test_the_oom_score_is_not_inherited(crowded: Host, score: int, flags: list[str]) -> None:
    assert scored(crowded, score, "run", "--rm", *flags, "busybox", *_SCORE).split() == ["0"]
    assert scored(crowded, score, "run", "--rm", *flags, "--oom-score-adj=77", "busybox", *_SCORE).split() == ["77"]


def test_nor_by_exec_and_health_checks(primed: Host) -> None:
    scored(primed, 300, "run", "-d", "--name", "own", "--oom-score-adj=20", "busybox", "sleep", "1000")
    scored(primed, 300, "run", "-d", "--name", "plain", "busybox", "sleep", "1000")
    assert scored(primed, 200, "exec", "own", *_SCORE) == "20\n"
    assert scored(primed, 200, "exec", "plain", *_SCORE) == "0\n"
    health = ["--health-cmd=cat /proc/self/oom_score_adj > /score", "--health-interval=100ms"]
    scored(primed, 300, "run", "-d", "--name", "checked", *health, "busybox", "sleep", "1000")
    read = "until [ -s /score ]; do sleep 0.05; done; cat /score"
    assert primed.minirun("exec", "checked", "sh", "-c", read).stdout == "0\n"
    scored(primed, 300, "restart", "-t", "0", "plain")
    assert primed.minirun("exec", "plain", "cat", "/proc/1/oom_score_adj").stdout == "0\n"


def test_the_mask_of_new_files_is_dockers(crowded: Host) -> None:
    script = 'umask 077; exec "$0" "$@"'
    for words in (["run", "--rm", "--net=none", "busybox"], ["exec", "base"]):
        assert crowded.run(["sh", "-c", script, MINIRUN, *words, "sh", "-c", "umask"]).stdout == "0022\n"
