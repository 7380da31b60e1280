"""minirun netns: the article's first demonstration, with minirun's own commands."""

import pytest

from tests.harness import Host, Snapshot, assert_same


@pytest.fixture
def cities(host: Host) -> Host:
    host.minirun("netns", "create", "sfo", "nyc")
    return host


def test_two_namespaces_and_a_cable(primed: Host) -> None:
    """Create, connect, look, ping, remove: and what ip(8) sees is the same."""
    host = primed
    before = Snapshot.of(host)
    assert host.minirun("netns", "create", "sfo", "nyc").stdout == "sfo\nnyc\n"
    assert host.sh("ip netns | sort").split("\n")[0].startswith("nyc")
    laid = host.minirun("netns", "connect", "sfo=10.0.0.11/24", "nyc=10.0.0.12/24").stdout
    assert laid == "veth-sfo\nveth-nyc\n"
    assert "veth" not in host.sh("ip link")
    seen = host.minirun("netns", "exec", "sfo", "ip", "-br", "addr").stdout
    assert seen == host.sh("ip netns exec sfo ip -br addr")
    assert "10.0.0.11/24" in seen
    assert "link-netns nyc" in host.sh("ip netns exec sfo ip link show veth-sfo")
    assert "0% packet loss" in host.minirun("netns", "exec", "sfo", "busybox", "ping", "-c1", "10.0.0.12").stdout
    assert host.minirun("netns", "ls", "-q").stdout == "nyc\nsfo\n"
    host.minirun("netns", "rm", "sfo")
    assert "veth" not in host.minirun("netns", "exec", "nyc", "ip", "link").stdout
    host.minirun("netns", "rm", "nyc")
    assert_same(host, before)


def test_a_third_town_needs_a_second_cable_at_each(cities: Host) -> None:
    """The article's reason for bridges: a pair for every two."""
    cities.minirun("netns", "create", "la")
    cities.minirun("netns", "connect", "sfo=10.0.0.11/24", "nyc=10.0.0.12/24")
    assert cities.minirun("netns", "connect", "sfo=10.0.1.11/24", "la=10.0.1.13/24").stdout == "veth-sfo-2\nveth-la\n"
    assert "1 packets received" in cities.minirun("netns", "exec", "la", "busybox", "ping", "-c1", "10.0.1.11").stdout
    six = cities.minirun("netns", "connect", "nyc=fd00::2/64", "la=fd00::3/64")
    assert six.stdout == "veth-nyc-2\nveth-la-2\n"
    assert "1 packets received" in cities.minirun("netns", "exec", "nyc", "busybox", "ping6", "-c1", "fd00::3").stdout


def test_each_step_can_be_seen(cities: Host) -> None:
    told = cities.minirun("--explain=script", "netns", "connect", "sfo=10.0.0.11/24", "nyc").stderr.split("\n")
    commands = [line for line in told if line.startswith("ip")]
    assert commands == [
        "ip link add veth-sfo type veth peer name veth-nyc",
        "ip link set veth-sfo netns sfo",
        "ip netns exec sfo ip address add 10.0.0.11/24 dev veth-sfo nodad",
        "ip netns exec sfo ip link set veth-sfo up",
        "ip link set veth-nyc netns nyc",
        "ip netns exec nyc ip link set veth-nyc up",
    ]


@pytest.mark.parametrize(
    ("words", "said", "code"),
    [
        (["connect", "sfo", "nowhere"], "no such network namespace: nowhere", 1),
        (["connect", "sfo", "sfo"], "a veth pair connects two namespaces", 1),
        (["connect", "sfo=10.0.0/24", "nyc"], "invalid address '10.0.0/24'", 1),
        (["connect", "sfo", "nyc", "la"], "requires 2 arguments", 1),
        (["create", "../x"], "Invalid network namespace name", 1),
        (["create", "sfo"], "network namespace sfo exists already", 1),
        (["create"], "requires at least 1 argument", 1),
        (["rm", "nowhere"], "no such network namespace: nowhere", 1),
        (["rm", "base"], "belongs to container base", 1),
        (["exec", "nowhere", "true"], "no such network namespace: nowhere", 1),
        (["exec", "sfo", "nosuchprogram"], "executable file not found", 127),
        (["exec", "sfo", "false"], "", 1),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_is_refused(busy: Host, words: list[str], said: str, code: int) -> None:
    before = Snapshot.of(busy)
    done = busy.minirun("netns", *words, check=False)
    assert said in done.stderr
    assert done.returncode == code, done.stderr
    assert_same(busy, before)


@pytest.fixture(scope="module")
def busy(crowded: Host) -> Host:
    crowded.minirun("netns", "create", "sfo", "nyc")
    return crowded


def test_owners_are_listed(busy: Host) -> None:
    rows = [line.split(None, 1) for line in busy.minirun("netns", "ls").stdout.splitlines()[1:]]
    assert ["base", "container base"] in rows
    assert ["sfo"] in rows
    assert "conflict" in busy.minirun("run", "--name", "sfo", "busybox", check=False).stderr.lower() or (
        "exists already" in busy.minirun("run", "--name", "sfo", "busybox", check=False).stderr
    )


def test_a_cable_that_fails_half_way_leaves_nothing(cities: Host) -> None:
    cities.minirun("netns", "connect", "sfo=10.0.0.11/24", "nyc=10.0.0.12/24")
    before = Snapshot.of(cities)
    inside = cities.sh("ip netns exec sfo ip link | grep -c veth")
    cities.sh("ip netns exec nyc sysctl -q -w net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1")
    done = cities.minirun("netns", "connect", "sfo=fd00::1/64", "nyc=fd00::2/64", check=False)
    assert done.returncode == 1
    assert "ip address add fd00::2/64" in done.stderr
    assert cities.sh("ip netns exec sfo ip link | grep -c veth") == inside
    assert_same(cities, before)
