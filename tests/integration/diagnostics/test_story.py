"""The short form of explain: a story in causal order, rules as their difference, variables for long paths."""

import re
from collections.abc import Iterator

import pytest

from tests.harness import Host

SLEEP = ("busybox", "sleep", "1000")


@pytest.fixture(scope="module")
def own() -> Iterator[Host]:
    """A host with a network and a container, `own` and `web`."""
    with Host() as host:
        host.minirun("network", "create", "own")
        host.minirun("run", "-d", "--name", "web", "-p", "8088:80", *SLEEP)
        yield host


def titles(text: str) -> list[str]:
    return re.findall(r"^\d+\. (.*?):", text, re.M)


def test_a_start_is_told_in_causal_order(host: Host) -> None:
    told = host.minirun("explain", "run", "-d", "--name", "web", "-p", "8080:80", *SLEEP).stdout
    assert titles(told) == [
        "Reserve the host's ports",
        "Create the network namespace",
        "Load the rules",
        "Create the bridge",
        "Connect the container to the bridge with a veth pair",
        "Add addresses and routes",
        "Enable IP forwarding",
        "Start the process",
        "Mount the files",
        "Execute the program",
    ]
    causes = ["ip link add minirun0", "address add 172.17.0.1/16", "ip link add veth", "address add 172.17.0.2/16"]
    assert sorted(causes, key=told.index) == causes
    assert re.search(r"with \d+ chains,", told)  # of the tables, which are new, their size
    assert len(told.splitlines()) <= 42
    assert all(len(line) <= 100 for line in told.splitlines() if "--bounding-set" not in line and "# new" not in line)


def test_what_others_have_is_not_told_again(own: Host) -> None:
    told = own.minirun("explain", "run", "-d", "--name", "two", "-p", "8080:80", *SLEEP).stdout
    assert "Create the bridge" not in titles(told)
    assert len(told.splitlines()) <= 33
    for words, most in ((["stop", "web"], 14), (["exec", "web", "true"], 12), (["rm", "-f", "web"], 16)):
        assert len(own.minirun("explain", *words).stdout.splitlines()) <= most
    told = own.minirun("explain", "restart", "-t", "0", "web").stdout
    assert titles(told)[:4] == [
        "Signal the container",
        "Clean up",
        "Remove its rules",
        "Reserve the host's ports",
    ]


@pytest.mark.parametrize(
    ("words", "step"),
    [
        (["pause", "web"], "Freeze or thaw the cgroup"),
        (["port", "add", "web", "8081:81"], "Reserve the host's ports"),
        (["cp", "web:/etc/passwd", "/run/x"], "Work in the files"),
        (["network", "rm", "own"], "Clean up"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_the_first_step_of_other_commands(own: Host, words: list[str], step: str) -> None:
    assert titles(own.minirun("explain", *words).stdout)[0] == step


@pytest.mark.parametrize(
    "words", [["network", "connect", "own", "web"], ["port", "add", "web", "9000-9001:90-91"]], ids=" ".join
)
def test_the_difference_of_the_rules_typed_by_hand_does_the_same(own: Host, words: list[str]) -> None:
    told = own.minirun("explain", *words).stdout
    by_hand = re.findall(r"^     (nft '.*?')$", told, re.M | re.S)
    own.sh("nft -s list table inet minirun >/run/before; " + "\n".join(by_hand))
    replayed = _rules(own)
    own.sh("nft flush ruleset")
    own.minirun(*words)
    assert _rules(own) == replayed
    assert own.sh("nft -s list table inet minirun | cmp -s - /run/before || echo differs") == "differs\n"


def _rules(host: Host) -> str:
    """Without the comments of elements, which the difference leaves out, and with elements in one order."""
    text = re.sub(r' comment "[0-9a-f]{12}"', "", host.sh("nft -s list ruleset"))
    return re.sub(
        r"elements = \{([^}]*)\}", lambda match: str(sorted(each.strip() for each in match[1].split(","))), text
    )


def test_long_paths_are_variables_that_are_defined(own: Host) -> None:
    told = own.minirun("explain", "run", "-d", *SLEEP).stdout
    defined = dict(re.findall(r"^export (\w+)=(\S+)$", told, re.M))
    assert defined.keys() == {"ID", "CONTAINER"}
    assert told.count(defined["ID"]) == 1
    assert re.findall(r"^.*\$CONTAINER/upper.*$", told, re.M)
