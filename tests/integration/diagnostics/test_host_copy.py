"""The copy of the host, in which `minirun explain` rehearses: a command finds there what it finds on the host."""

import re
from collections.abc import Iterator

import pytest

from tests.harness import Host
from tests.harness.debian_packages import IPTABLES, overlay_packages

SLEEP = ("busybox", "sleep", "1000")


@pytest.fixture(scope="module")
def town() -> Iterator[Host]:
    """A host with an uplink, another firewall, and containers whose addresses differ from those of a fresh start."""
    with Host() as host:
        overlay_packages(host, IPTABLES)
        host.sh(
            "ip netns add lan; ip link add eth9 mtu 1400 type veth peer name eth9p netns lan;"
            "ip -n lan link set eth9p up; ip addr add 192.0.2.7/24 dev eth9;"
            "ip link set eth9 up; ip route add default via 192.0.2.1;"
            "ip netns add nyc;"
            "iptables -P FORWARD DROP; iptables -A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"
        )
        for name in ("own", "empty"):
            host.minirun("network", "create", name)
        host.minirun("run", "-d", "--name", "first", *SLEEP)
        host.minirun("run", "-d", "--name", "web", "-p", "8080:80", "-p", "81", "busybox", "httpd", "-f")
        host.minirun("run", "-d", "--rm", "--name", "api", *SLEEP)
        host.minirun("rm", "-f", "first")
        host.minirun("run", "-d", "--restart=always", "--name", "db", "--net", "own", *SLEEP)
        host.minirun("run", "-d", "--name", "guest", "--net", "container:web", *SLEEP)
        host.minirun("network", "connect", "own", "api")
        host.minirun("port", "add", "api", "9000:90")
        host.minirun("pause", "db")
        yield host


@pytest.mark.parametrize(
    "words",
    [
        ["ps", "-a", "--no-trunc", "--format", "{{.ID}} {{.Names}} {{.Ports}} {{.State}} {{.CreatedAt}}"],
        ["inspect", "-f", "{{.Name}} {{.State.Status}} {{.State.StartedAt}} {{json .NetworkSettings}}", "web", "db"],
        ["inspect", "-f", "{{.Name}} {{.State.Status}} {{.State.StartedAt}} {{json .NetworkSettings}}", "api", "guest"],
        ["inspect", "--rules", "web"],
        ["network", "inspect", "bridge", "own", "empty"],
        ["port", "api"],
        ["netns", "ls"],
        ["map"],
        ["doctor", "--quick"],
    ],
    ids=" ".join,
)
def test_a_command_sees_in_the_copy_what_it_sees_on_the_host(town: Host, words: list[str]) -> None:
    real, copy = town.minirun(*words, check=False), town.minirun("explain", *words, check=False)
    assert copy.stdout.startswith("No kernel operation.")
    assert _without_counters(copy.stderr) == _without_counters(real.stdout)


def _without_counters(text: str) -> str:
    """Of a namespace that is not minirun's, only the name is copied."""
    return re.sub(r"(?m)packets \d+ bytes \d+|^lan  eth9p$|^lan  a namespace without links$", "", text)


def test_a_container_is_stopped_in_the_copy_with_what_it_has(town: Host) -> None:
    address = town.minirun("inspect", "-f", "{{.NetworkSettings.IPAddress}}", "web").stdout.strip()
    assert address == "172.17.0.3"
    told = town.minirun("explain", "stop", "web").stdout
    assert f"delete element inet minirun published {{ tcp . 8080 : {address} . 80 }}" in told
    assert "failed" not in told
    # One with --rm, and one in another container's network, too.
    for words in (["rm", "-f", "api"], ["--full", "restart", "-t", "1", "guest"]):
        assert "failed" not in town.minirun("explain", *words).stdout, words


def test_the_mtu_and_taken_subnets_are_the_host_s(town: Host) -> None:
    told = town.minirun("explain", "network", "create", "new").stdout
    assert " mtu 1400 type bridge" in told
    assert "ip address add 172.18.8.1/22 dev mr-" in told
    refused = town.minirun("explain", "network", "create", "--subnet", "192.0.2.0/24", "new", check=False)
    assert refused.returncode == 1
    assert "192.0.2.0/24" in refused.stderr
