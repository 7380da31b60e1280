"""Standard output that is full, closed, or that nobody reads any more: one sentence and exit code 1, for every verb."""

import os
from collections.abc import Iterator

import pytest

from tests.harness import Host
from tests.harness.host import MINIRUN

FULL = "minirun: cannot write to standard output: No space left on device\n"
CLOSED = "minirun: cannot write to standard output: Bad file descriptor\n"
VERBS = [
    "ps",
    "images",
    "logs talks",
    "logs much",
    "logs -f much",
    "wait much",
    "events --since 1h --until 0s",
    "stats --no-stream",
    "top talks",
    "version",
    "info",
    "help",
    "--help",
    "run --help",
    "create busybox",
    "network ls",
    "network create",
    "network inspect bridge",
    "volume create",
    "volume ls",
    "port talks",
    "history busybox",
    "inspect talks",
    "inspect --rules talks",
    "map",
    "map --svg",
    "doctor --all --quick",
    "tour --list",
    "netns ls",
    "export talks",
    "cp talks:/etc -",
    "system df",
    "run --rm busybox echo word",
    "run -d --rm busybox true",
    "run --rm -t busybox echo word",
    "exec talks echo word",
    "exec -t talks echo word",
    "start -a much",
    "explain ps",
    "--explain ps",
]


@pytest.fixture(scope="module")
def talking() -> Iterator[Host]:
    with Host() as host:
        host.minirun("run", "-d", "--name", "talks", "-p", "80", "busybox", "sh", "-c", "echo word; sleep 1000")
        host.minirun("run", "--name", "much", "busybox", "sh", "-c", "yes | head -100000")
        host.minirun("netns", "add", "pinned")
        yield host


def run(host: Host, words: str, redirection: str, way: str) -> tuple[int, str]:
    if words == "network create":
        words += f" n{os.urandom(4).hex()}"
    environment = {**os.environ, "MINIRUN_FORKSERVER": way}
    done = host.run(["bash", "-c", f"'{MINIRUN}' {words} {redirection}"], check=False, env=environment)
    return done.returncode, done.stderr


@pytest.mark.parametrize("words", VERBS)
def test_a_full_one(talking: Host, words: str) -> None:
    code, errors = run(talking, words, ">/dev/full", "")
    assert code == 1
    assert FULL in errors if "explain" in words else errors == FULL


@pytest.mark.parametrize("way", ["", "off"])
@pytest.mark.parametrize("words", ["ps", "inspect talks", "run --rm busybox echo word", "exec talks echo word", "help"])
def test_a_closed_one(talking: Host, words: str, way: str) -> None:
    assert run(talking, words, ">&-", way) == (1, CLOSED)


@pytest.mark.parametrize("words", ["ps", "inspect talks", "logs much", "run --rm busybox yes", "help"])
def test_one_that_nobody_reads(talking: Host, words: str) -> None:
    """As SIGPIPE would end it, or it was faster."""
    done = talking.run(["bash", "-c", f"'{MINIRUN}' {words} | true; echo ${{PIPESTATUS[0]}}"])
    assert done.stdout in ("141\n", "0\n")
    assert done.stderr == ""


@pytest.mark.parametrize("words", ["diff talks", "rename much more", "rename more much"])
def test_who_prints_nothing_needs_none(talking: Host, words: str) -> None:
    assert run(talking, words, ">/dev/full", "") == (0, "")


def test_a_message_of_its_own_is_the_only_one(talking: Host) -> None:
    assert run(talking, "logs nobody", ">/dev/full", "")[1] == "minirun: No such container: nobody\n"


def test_what_was_started_goes_on(talking: Host) -> None:
    """Only its id could not be told."""
    assert run(talking, "run -d --name told busybox sleep 1000", ">/dev/full", "") == (1, FULL)
    assert talking.minirun("inspect", "-f", "{{.State.Status}}", "told").stdout == "running\n"
    talking.minirun("rm", "-f", "told")


def test_standard_error_too(talking: Host) -> None:
    code, _ = run(talking, "exec talks sh -c 'echo word >&2'", "2>/dev/full", "")
    assert code == 1
    code, _ = run(talking, "inspect nobody", "2>/dev/full", "")
    assert code == 1
