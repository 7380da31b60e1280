"""The tour: each chapter is run, with and without a terminal; docs/learn has the output."""

import os
import re
from collections.abc import Iterator

import pytest

from minirun.diagnostics.tour.chapters import chapters
from tests.harness import Host, Snapshot, Terminal, assert_same
from tests.harness.host import MINIRUN, REPO, root_is_a_mount

LEARN = REPO / "docs/learn"
CHAPTERS = [chapter.name for chapter in chapters()]
needs_ip_netns = pytest.mark.skipif(not root_is_a_mount(), reason="ip(8) itself does not work in a chroot")
# What differs from one run to the next.
PATTERNS = (
    (r"\b[0-9a-f]{64}\b", "0123456789abcdef" * 4),
    (r"veth[0-9a-f]{8}\b", "veth01234567"),
    (r"(mrd?[-_])[0-9a-f]{10}\b", r"\g<1>0123456789"),
    (r"(?<![-\w.])(?=[0-9a-f]*[a-f])[0-9a-f]{12}(?![-\w.])", "0123456789ab"),
    (r"(?<![-\w.])[0-9]{12}(?![-\w.])", "0123456789ab"),
    (r"\b(?!02:42|00:00)(?:[0-9a-f]{2}:){5}[0-9a-f]{2}\b", "ae:00:00:00:00:01"),
    (r"seq [0-9]+", "seq 1000000000"),
    (r"(?<=[0-9]):[3-6][0-9]{4}\b", ":40000"),
    (r"@if[0-9]+", "@if2"),
    (r"packets [0-9]+ bytes [0-9]+", "packets 0 bytes 0"),
    (r"(?m)^host \S+", "host here"),
    (r"[ \t]+\n", "\n"),
)


@pytest.fixture(scope="module")
def machine() -> Iterator[Host]:
    with Host() as host:
        yield host


def written(text: str) -> str:
    for pattern, name in PATTERNS:
        text = re.sub(pattern, name, text)
    return text.strip() + "\n"


@needs_ip_netns
@pytest.mark.parametrize("name", CHAPTERS)
def test_docs_learn_has_the_output_of_each_chapter(machine: Host, name: str) -> None:
    before = Snapshot.of(machine)
    done = machine.minirun("tour", "--markdown", name, timeout=120)
    page = LEARN / f"{name}.md"
    if os.environ.get("UPDATE_GOLDEN"):
        page.write_text(written(done.stdout))
    assert page.read_text() == written(done.stdout)
    assert_same(machine, before)


def test_the_list_of_chapters(machine: Host) -> None:
    listed = machine.minirun("tour", "--list").stdout.splitlines()
    assert [int(line.split()[0]) for line in listed] == list(range(1, 10))
    assert listed[0] == "1  Two namespaces and a veth pair"
    assert sorted(page.stem for page in LEARN.glob("[0-9]*.md")) == sorted(CHAPTERS)


@needs_ip_netns
def test_at_a_terminal(machine: Host) -> None:
    before = Snapshot.of(machine)
    with Terminal(machine, "tour", "1") as terminal:
        terminal.until(b"Two namespaces and a veth pair")
        terminal.until(b"[Enter] run  [s] skip  [q] quit ")
        terminal.type(b"\n")
        terminal.until(b"LOOPBACK")
        terminal.until(b"[q] quit ")
        terminal.type(b"s\n")
        terminal.until(b"[q] quit ")
        terminal.type(b"q\n")
        assert terminal.wait() == 0
    with Terminal(machine, "tour", "2") as terminal:
        terminal.until(b"[q] quit ")
        terminal.type(b"\x03")
        assert terminal.wait() == 130
        assert terminal.rest() in (b"", b"^C")
    assert_same(machine, before)


def test_without_a_terminal(machine: Host) -> None:
    before = Snapshot.of(machine)
    done = machine.minirun("tour", "--yes", "7", timeout=60)
    assert "$ minirun trace alone 192.0.2.1:80 || true" in done.stdout
    assert "not sent: alone runs with --net=none" in done.stdout
    assert_same(machine, before)
    done = machine.minirun("tour", "7", check=False)
    assert (done.returncode, "minirun tour --yes" in done.stderr) == (1, True)
    assert "no such chapter" in machine.minirun("tour", "99", check=False).stderr


@needs_ip_netns
def test_chapters_follow_each_other(machine: Host) -> None:
    """What cleans up after one has nothing to do with the next."""
    before = Snapshot.of(machine)
    for _ in range(4):
        done = machine.minirun("tour", "--yes", "1", "2", "7", timeout=60)
        assert done.stderr == ""
    assert_same(machine, before)


@needs_ip_netns
def test_it_ends_with_a_chapter_that_fails(machine: Host) -> None:
    before = Snapshot.of(machine)
    machine.sh("cp -a $(readlink -f $(command -v ip)) /run/ip; mount --bind /bin/false $(readlink -f $(command -v ip))")
    try:
        done = machine.minirun("tour", "--yes", "7", "1", "2", check=False, timeout=60)
    finally:
        machine.sh("umount $(readlink -f $(command -v ip)); rm /run/ip")
    assert done.returncode == 1
    assert done.stderr == (
        "minirun: chapter 1 stops here: its last command failed on this host\nminirun doctor may know why\n"
    )
    assert done.stdout.rstrip().splitlines()[-1].startswith("  $ ")  # the command that failed is the last that is shown
    assert "bridge" not in done.stdout.partition("Two namespaces")[2]
    assert_same(machine, before)


@needs_ip_netns
def test_another_state_root_makes_no_difference(machine: Host) -> None:
    done = machine.run(["env", "MINIRUN_ROOT=/run/other", MINIRUN, "tour", "--markdown", "3"], timeout=60)
    page = next(LEARN.glob("3-*.md"))
    assert page.read_text() == written(done.stdout)


def test_q_ends_all_of_it(machine: Host) -> None:
    with Terminal(machine, "tour") as terminal:
        terminal.until(b"[q] quit ")
        terminal.type(b"q\n")
        assert terminal.wait() == 0
        assert b"bridge" not in terminal.rest()


def test_a_chapter_whose_host_is_killed_is_not_taken_for_done(machine: Host) -> None:
    with Terminal(machine, "tour", "1", "2") as terminal:
        terminal.until(b"[q] quit ")
        machine.sh("kill -9 $(pgrep -n -f '[m]inirun tour 1 2')")  # the youngest: pid 1 of the throwaway host
        terminal.until(b"chapter 1 stops here")
        assert terminal.wait() == 1
