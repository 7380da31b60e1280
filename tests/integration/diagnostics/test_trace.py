"""trace: a real packet, and the true cause in each broken setup."""

import json
import re
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.harness import Host, Snapshot, assert_same, eventually
from tests.harness.host import MINIRUN

SLEEP = ("busybox", "sleep", "1000")
SERVE = ("busybox", "httpd", "-f", "-p", "80", "-h", "/var/www")


def traced(host: Host, *words: str, arrives: bool) -> dict[str, object]:
    done = host.minirun("trace", "--json", "-t", "3", *words, check=False)
    assert done.stdout, done.stderr
    journey: dict[str, object] = json.loads(done.stdout)
    assert journey["arrived"] is arrives, journey["sentence"]
    assert done.returncode == (0 if arrives else 1)
    return journey


@pytest.fixture(scope="module")
def machine() -> Iterator[Host]:
    with Host() as host:
        host.neighbour(default_route=True)
        host.minirun("network", "create", "own")
        host.minirun("network", "create", "--internal", "inner")
        host.minirun("network", "create", "--ipv6", "six")
        host.minirun("run", "-d", "--name", "web", "-p", "8080:80", "-p", "9090:90", "-p", "5353:53/udp", *SERVE)
        host.minirun("run", "-d", "--name", "near", *SLEEP)
        host.minirun("run", "-d", "--name", "db", "--net=own", *SLEEP)
        host.minirun("run", "-d", "--name", "hidden", "--net=inner", *SLEEP)
        host.minirun("run", "-d", "--name", "alone", "--net=none", *SLEEP)
        host.minirun("run", "-d", "--name", "mate", "--net=container:web", *SLEEP)
        host.minirun("run", "-d", "--name", "one", "--net=six", "-p", "6060:80", *SERVE)
        host.minirun("run", "-d", "--name", "two", "--net=six", *SLEEP)
        local = ("busybox", "httpd", "-f", "-p", "127.0.0.1:70", "-h", "/var/www")
        host.minirun("run", "-d", "--name", "shy", "-p", "7070:70", *local)
        eventually(
            lambda: host.sh("busybox wget -qO- http://127.0.0.1:8080/ >/dev/null && echo ok", check=False) == "ok\n"
        )
        yield host


# --- six broken setups, and the diagnosis of each


def test_a_policy_of_dockers(machine: Host) -> None:
    """Docker's FORWARD chain drops unknown packets. (minirun adds its rule there; here somebody removed it.)"""
    try:
        with machine.unwatched():
            machine.sh("nft 'add table ip filter'; nft 'add chain ip filter DOCKER-USER'")
            machine.sh("nft 'add chain ip filter FORWARD { type filter hook forward priority 0; policy drop; }'")
            machine.sh("nft 'add rule ip filter FORWARD jump DOCKER-USER'")
            journey = traced(machine, "8080", arrives=False)
        assert "dropped on this host by the policy of chain FORWARD" in str(journey["sentence"])
        assert "table ip filter" in str(journey["sentence"])
        assert "minirun network reload adds minirun's rules to DOCKER-USER" in journey["advice"][0]  # type: ignore[index]
        machine.minirun("network", "reload")
        traced(machine, "8080", arrives=True)
    finally:
        machine.sh("nft delete table ip filter")
        machine.minirun("network", "reload")


def test_a_program_that_listens_only_on_loopback(machine: Host) -> None:
    journey = traced(machine, "7070", arrives=False)
    assert journey["outcome"] == "refused"
    assert "its program listens only on 127.0.0.1 inside the container" in str(journey["sentence"])
    assert "make the program listen on 0.0.0.0" in journey["advice"][0]  # type: ignore[index]


def test_two_networks(machine: Host) -> None:
    journey = traced(machine, "db", "web:80", arrives=False)
    assert "db is in own, web is in bridge, and networks are isolated from each other" in str(journey["sentence"])
    assert journey["advice"] == ["minirun network connect bridge db"]


def test_a_dropped_packet_is_sent_again_only_where_it_may_pass(machine: Host) -> None:
    """The kernel sends a SYN again after one second. A rule that drops by chance may let that one pass."""

    def seconds(limit: str, *words: str) -> float:
        started = time.monotonic()
        done = machine.minirun("trace", "-t", limit, *words, check=False)
        assert "dropped" in done.stdout, done.stdout
        return time.monotonic() - started

    assert seconds("20", "db", "web:80") < 10
    fault = machine.minirun("fault", "loss", "--percent", "99.99", "near").stdout.split()[-1]
    assert seconds("2", "web", "near:80") > 2
    machine.minirun("fault", "rm", fault)


def test_a_host_without_ip_forwarding(machine: Host) -> None:
    with machine.unwatched():
        machine.sh("sysctl -q -w net.ipv4.ip_forward=0")
        journey = traced(machine, "8080", arrives=False)
        machine.sh("sysctl -q -w net.ipv4.ip_forward=1")
    assert "IP forwarding is off (net.ipv4.ip_forward is 0)" in str(journey["sentence"])
    assert journey["advice"][0] == "sysctl -w net.ipv4.ip_forward=1"  # type: ignore[index]


def test_a_port_that_is_not_published(machine: Host) -> None:
    journey = traced(machine, "80", arrives=False)
    assert "no container publishes port 80/tcp" in str(journey["sentence"])
    assert "minirun port add web 80:80" in journey["advice"]  # type: ignore[operator]
    # Also directly to the container's address, from outside.
    journey = traced(machine, "outside", "web:80", arrives=False)
    assert "port 80 of web is not published, and other hosts can reach only published ports" in str(journey["sentence"])
    assert journey["advice"][0] == "minirun port add web 80:80"  # type: ignore[index]


def test_an_internal_network(machine: Host) -> None:
    journey = traced(machine, "hidden", "192.0.2.2:80", arrives=False)
    assert "hidden has no route to 192.0.2.2: it is only in inner (--internal)" in str(journey["sentence"])
    assert journey["advice"] == ["minirun network connect bridge hidden"]
    assert journey["passages"] == []


# --- more of them


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["9090"], "no program listens on port 90; it listens on [::]:80/tcp"),
        (["5353/udp"], "arrived at web, which refused it: no program listens on port 53"),
        (["alone", "192.0.2.2:80"], "alone runs with --net=none"),
        (["near", "172.17.255.9:80"], "no host answers for 172.17.255.9"),
        (["web", "192.0.2.2:81"], "no program at 192.0.2.2 listens on port 81"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_other_causes(machine: Host, words: list[str], sentence: str) -> None:
    assert sentence in str(traced(machine, *words, arrives=False)["sentence"])


def test_rules_of_a_foreign_table(machine: Host) -> None:
    machine.sh("nft 'add table inet mine'; nft 'add chain inet mine c { type filter hook forward priority 10; }'")
    machine.sh("nft 'add rule inet mine c tcp dport 80 counter drop comment \"no web\"'")
    journey = traced(machine, "8080", arrives=False)
    machine.sh("nft delete table inet mine")
    assert (
        "dropped on this host by a rule in chain c of another program's table inet mine: tcp dport 80 counter drop"
        in str(journey["sentence"])
    )


# --- packets that arrive


def places(journey: dict[str, object]) -> list[str]:
    text = [f"{each['place']} {'>' if each['outgoing'] else '<'} {each['interface']}" for each in journey["passages"]]  # type: ignore[attr-defined]
    return [re.sub(r"veth[0-9a-f]{8}", "veth", line) for line in text]


def test_from_one_container_to_another(machine: Host) -> None:
    """eth0, a veth, the bridge, another veth, the other container's eth0."""
    journey = traced(machine, "near", "web:80", arrives=True)
    assert sorted(places(journey)) == ["host < veth", "host > veth", "near > eth0", "web < eth0"]
    chains = [f"{step['family']} {step['chain']}" for step in journey["rules"] if step["text"]]  # type: ignore[attr-defined]
    assert "bridge prerouting" in chains
    assert "inet into_minirun0" in chains
    assert journey["translations"] == []
    shown = machine.minirun("trace", "near", "web:80").stdout
    order = [
        "near\n",
        "-> eth0",
        "host\n",
        "<- veth",
        "bridge minirun",
        "inet minirun",
        "-> veth",
        "web\n",
        "<- eth0",
        "arrived",
    ]
    at = [shown.index(words) for words in order]
    assert at == sorted(at)


def test_translations(machine: Host) -> None:
    journey = traced(machine, "8080", arrives=True)
    assert journey["translations"] == ["DNAT: 192.0.2.1:8080 became 172.17.0.2:80"]
    journey = traced(machine, "--from", "host", "127.0.0.1:8080", arrives=True)
    assert [line.split()[0] for line in journey["translations"]] == ["DNAT:", "masquerade:"]  # type: ignore[attr-defined]
    assert "masquerade: 172.17.0." in str(traced(machine, "web", "192.0.2.2:81", arrives=False)["translations"])


@pytest.mark.parametrize(
    "words",
    [["host", "web:80"], ["web", "127.0.0.1:80"], ["mate", "127.0.0.1:80"], ["two", "one:80"], ["6060"]],
    ids=" ".join,
)
def test_it_arrives(machine: Host, words: list[str]) -> None:
    traced(machine, *words, arrives=True)


@pytest.mark.parametrize(("port", "arrives"), [("8080", True), ("9090", False)])
def test_a_packet_that_somebody_else_sends(machine: Host, port: str, arrives: bool) -> None:
    """The client retries. No interface sees the host's own packets before translation; connection tracking does."""
    process = machine.popen(
        [MINIRUN, "trace", "--json", "--wait", port], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )

    def ended() -> bool:
        machine.sh(f"timeout 1 busybox wget -qO- http://192.0.2.1:{port}/ >/dev/null 2>&1", check=False)
        return process.poll() is not None

    eventually(ended, 20)
    journey = json.loads(process.communicate()[0])
    assert journey["arrived"] is arrives
    assert journey["from"] == "anybody"
    assert f"DNAT: 192.0.2.1:{port} became 172.17.0." in journey["translations"][0]
    assert process.returncode == (0 if arrives else 1)


def test_ipv6(machine: Host) -> None:
    address = machine.minirun("exec", "one", "ip", "-6", "addr", "show", "dev", "eth0", "scope", "global").stdout
    journey = traced(machine, "two", f"[{re.search(r'inet6 ([0-9a-f:]+)', address)[1]}]:80", arrives=True)  # type: ignore[index]
    assert journey["container"] == "one"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["nosuch"], "invalid port in 'nosuch'"),
        (["8080/sctp"], "invalid protocol"),
        (["99999"], "invalid port"),
        (["nosuch", "web:80"], "No such container: nosuch"),
        (["web", "web"], "invalid target 'web'"),
        (["web", "alone:80"], "has no address of its own"),
        (["-t", "0", "8080"], "from 1 to 3600 seconds"),
        (["--from", "nosuch", "8080"], "No such container"),
        (["--from", "host", "web", "db:80"], "--from is for a PORT"),
        (["web:80"], "invalid address in 'web:80'"),
        (["--wait", "web", "db:80"], "--wait is for a TCP port of this host"),
        (["--wait", "-t", "1", "8080"], "no packet to 8080 within 1 s"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_invalid_arguments(machine: Host, words: list[str], sentence: str) -> None:
    done = machine.minirun("trace", *words, check=False)
    assert sentence in done.stderr
    assert done.returncode == 1


def test_traces_at_once_do_not_see_each_other(machine: Host) -> None:
    """They take turns: the kernel does not say whose packet a rule has seen."""
    alone = traced(machine, "near", "web:80", arrives=True)
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda _: traced(machine, "near", "web:80", arrives=True), range(4)))
    for each in together:
        assert sorted(places(each)) == sorted(places(alone))
        assert each["rules"] == alone["rules"]


def test_a_trace_leaves_nothing_even_when_killed(primed: Host) -> None:
    primed.minirun("run", "-d", "--name", "web", "-p", "8080:80", *SLEEP)
    before = Snapshot.of(primed)
    primed.minirun("trace", "-t", "1", "8080", check=False)
    assert_same(primed, before)
    for pause in ("0.2", "0.4", "0.6"):
        primed.sh(f"timeout -s KILL {pause} minirun trace 8081", check=False, env=_path())
        eventually(lambda: assert_same(primed, before) is None)


def _path() -> dict[str, str]:
    return {"PATH": f"{Path(MINIRUN).parent}:/usr/sbin:/usr/bin:/sbin:/bin"}
