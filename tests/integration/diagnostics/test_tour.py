"""The tour: each chapter is run, with and without a terminal; docs/learn has the output."""

import os
import re
import time
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
    (r"\./[0-9a-f]{16}\b", "./0123456789abcdef"),
    (r"veth[0-9a-f]{8}\b", "veth01234567"),
    (r"(mrd?[-_])[0-9a-f]{10}\b", r"\g<1>0123456789"),
    (r"(?<![-\w.])(?=[0-9a-f]*[a-f])[0-9a-f]{12}(?![-\w.])", "0123456789ab"),
    (r"(?<![-\w.])[0-9]{12}(?![-\w.])", "0123456789ab"),
    (r"\b(?!02:42|00:00)(?:[0-9a-f]{2}:){5}[0-9a-f]{2}\b", "ae:00:00:00:00:01"),
    (r"\bseq [0-9]+", "seq 1000000000"),
    (r"[0-9]+\.[0-9]{3}(?=[/ ]|\b)", "0.100"),
    (r"[0-9]+ ms; --full", "10 ms; --full"),
    (r"net:\[[0-9]+\]", "net:[4026531840]"),
    (r"\b[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}\b", "12:00:00.000000"),
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
    assert [int(line.split()[0]) for line in listed] == list(range(1, 11))
    assert listed[0] == "1  Two namespaces and a veth pair"
    assert sorted(page.stem for page in LEARN.glob("[0-9]*.md")) == sorted(CHAPTERS)


@needs_ip_netns
def test_at_a_terminal(machine: Host) -> None:
    before = Snapshot.of(machine)
    with Terminal(machine, "tour", "1") as terminal:
        terminal.until(b"Two namespaces and a veth pair")
        terminal.until(b"Chapter 1 of 10 \xc2\xb7 step 1 of 8")
        terminal.until(b"[Enter] run  [s] skip  [!] shell  [q] quit ")
        terminal.type(b"go on\n")  # no key: it says what the keys are, and does nothing
        assert b"LOOPBACK" not in terminal.until(b"Press Enter to go on, s to skip the step")
        terminal.until(b"[q] quit ")
        terminal.type(b"\n")
        terminal.until(b"LOOPBACK")
        terminal.until(b"step 2 of 8")
        terminal.until(b"[q] quit ")
        terminal.type(b"s\n")
        terminal.until(b"step 3 of 8")
        terminal.until(b"[q] quit ")
        _in_a_shell(terminal)
        for _ in range(4):  # to the question, behind the step that breaks something and its symptom
            terminal.type(b"s\n")
            terminal.until(b"[q] quit ")
        terminal.type(b"s\n")
        terminal.until(b"Press Enter to go on")
        assert b"carrier" not in terminal.until(b"[Enter] to see  [!] shell  [q] quit ")
        terminal.type(b"\n")
        terminal.until(b"no carrier")
        terminal.until(b"[q] quit ")
        terminal.type(b"q\n")
        assert terminal.wait() == 0
    with Terminal(machine, "tour", "2") as terminal:
        terminal.until(b"[q] quit ")
        terminal.type(b"\x03")
        assert terminal.wait() == 130
        assert terminal.rest() in (b"", b"^C")
    assert_same(machine, before)


def _in_a_shell(terminal: Terminal) -> None:
    """It is in the copy of the host, has the terminal's size and job control, and Ctrl-C is for its commands."""
    terminal.type(b"!\n")
    terminal.until(b"tour# ")
    terminal.type(b"ip netns\n")
    terminal.until(b"sfo")
    terminal.until(b"tour# ")
    terminal.type(b"stty size; sleep 100\n")
    terminal.until(b"24 80\r\n")
    time.sleep(0.2)
    terminal.type(b"\x03")
    terminal.until(b"tour# ")
    terminal.type(b"minirun tour --check 1\n")
    terminal.until(b"no network namespace called east")
    terminal.until(b"tour# ")
    terminal.type(b"exit\n")
    terminal.until(b"[q] quit ")


def test_it_fits_a_narrow_terminal_and_ends_with_what_was_learned(machine: Host) -> None:
    with Terminal(machine, "tour", "--yes", "7", columns=50) as terminal:
        shown = terminal.until(b"run minirun tour --check 7", seconds=60).decode()
        assert terminal.wait() == 0
    prose = [line for line in re.sub(r"\033\[\d+m", "", shown).splitlines() if not line.startswith("  ")]
    assert max(map(len, prose)) <= 50
    _, end, learned = shown.partition("What you have learned")
    assert end
    assert "7. With `--net=none` there is a namespace" in learned


def test_without_a_terminal(machine: Host) -> None:
    before = Snapshot.of(machine)
    done = machine.minirun("tour", "--yes", "7", timeout=60)
    assert "$ minirun trace alone 192.0.2.1:80\n" in done.stdout
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
        "minirun: chapter 1 stops here: its last command did not end as it should on this host\n"
        "minirun doctor may know why\n"
    )
    assert done.stdout.rstrip().splitlines()[-1].startswith("  $ ")  # the command that failed is the last that is shown
    assert "A bridge instead" not in done.stdout
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


# --- exercises

SLEEP = "busybox sleep 1000"
SERVER = "busybox httpd -f -h /var/www -p"
# What is done for an exercise, first not quite right; a part of what its check says then; and what makes it right.
EXERCISES = {
    1: (
        "minirun netns create east west; minirun netns connect east=10.1.0.1/24 west=10.1.0.2/24;"
        "ip -n west link set veth-west down",
        "No packet gets from east to 10.1.0.2",
        "ip -n west link set veth-west up",
    ),
    2: (
        "ip link add br7 type bridge; ip addr add 10.7.0.1/24 dev br7; ip link set br7 up; minirun netns create lab;"
        "ip link add v7 up type veth peer name eth0 netns lab; ip -n lab addr add 10.7.0.2/24 dev eth0;"
        "ip -n lab link set eth0 up",
        "a port of br7",
        "ip link set v7 master br7",
    ),
    3: (
        f"minirun run -d --name plain {SLEEP}",
        "nobody accepts a connection to 172.17.0.",
        f"minirun rm -f plain; minirun run -d --name plain {SERVER} 80; minirun wait --listening 80 plain",
    ),
    4: (
        f"minirun run -d --name local {SERVER} 9100; minirun wait --listening 9100 local",
        "use --net=host",
        f"minirun rm -f local; minirun run -d --name local --net host {SERVER} 9100;"
        "minirun wait --listening 9100 local",
    ),
    5: (
        f"minirun network create shop; minirun run -d --name cart {SLEEP};"
        f"minirun run -d --name stock --net shop {SERVER} 6000; minirun wait --listening 6000 stock",
        "The container cart is not in the network shop",
        "minirun network connect shop cart",
    ),
    6: (
        f"minirun run -d --name main {SERVER} 7000; minirun run -d --name helper {SLEEP};"
        "minirun wait --listening 7000 main",
        "helper is not in the network of main",
        f"minirun rm -f main helper; minirun run -d --name main {SERVER} 127.0.0.1:7000;"
        f"minirun run -d --name helper --net container:main {SLEEP}; minirun wait --listening 7000 main",
    ),
    7: (
        f"minirun run -d --name vault {SLEEP}",
        "vault has an interface: eth0",
        f"minirun rm -f vault; minirun run -d --name vault --net none {SLEEP}",
    ),
    8: (
        f"minirun run -d --name shop -p 9000:80 {SERVER} 127.0.0.1:80; minirun wait --listening 80 shop",
        "Port 9000 leads to port 80 of shop, where nothing answers",
        f"minirun rm -f shop; minirun run -d --wait --name shop -p 9000:80 {SERVER} 80",
    ),
    9: (
        f"minirun network create north; minirun network create south; minirun run -d --name farmer --net north {SLEEP};"
        f"minirun run -d --name miller --net south {SERVER} 80; minirun wait --listening 80 miller",
        "farmer cannot connect to port 80 of miller",
        "minirun network connect south farmer",
    ),
    10: (
        r"printf 'FROM busybox\nRUN echo sou > /menu\nRUN echo soup > /menu\n' | minirun build -t menu -",
        "menu has 3 layers, and busybox 1",
        r"""printf 'FROM busybox\nRUN echo soup > /menu\nCMD ["cat", "/menu"]\n' | minirun build -t menu -""",
    ),
}


@needs_ip_netns
@pytest.mark.parametrize("number", EXERCISES)
def test_an_exercise_is_checked_by_what_there_is(machine: Host, number: int) -> None:
    almost, missing, right = EXERCISES[number]
    path = f"set -e; PATH={os.path.dirname(MINIRUN)}:$PATH; "
    check = ("tour", "--check", str(number))
    nothing = machine.minirun(*check, check=False)
    assert (nothing.returncode, "There is no" in nothing.stdout) == (1, True)
    machine.sh(path + almost, timeout=60)
    done = machine.minirun(*check, check=False)
    assert done.returncode == 1
    assert missing in " ".join(done.stdout.split())
    machine.sh(path + right, timeout=60)
    assert machine.minirun(*check).stdout == f"Exercise {number}: done\n"
    machine.sh(path + "minirun rm -f $(minirun ps -aq) >/dev/null; minirun network prune -f", check=False)
