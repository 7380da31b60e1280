"""doctor and inspect --rules: problems are reported with evidence, and what minirun created is repaired."""

import json
from collections.abc import Iterator

import pytest

from tests.harness import Host, Snapshot, assert_same, eventually

SLEEP = ("busybox", "sleep", "1000")
SERVE = ("busybox", "httpd", "-f", "-p", "80", "-h", "/var/www")


def findings(host: Host, *flags: str) -> dict[str, dict[str, object]]:
    """Return findings by their sentence, without the note of a host without cgroup controllers."""
    done = host.minirun("doctor", "--json", *flags, check=False)
    assert done.stdout, done.stderr
    problems = {finding["what"]: finding for finding in json.loads(done.stdout)}
    assert done.returncode == int(any(finding["level"] == "problem" for finding in problems.values()))
    return {
        what: finding
        for what, finding in problems.items()
        if finding["level"] != "ok" and not what.startswith("limits on ")
    }


@pytest.fixture
def web(primed: Host) -> Host:
    primed.minirun("run", "-d", "--name", "web", "-p", "8080:80", *SERVE)
    fetch = "busybox wget -qO- http://127.0.0.1:8080/ >/dev/null && echo ok"
    eventually(lambda: primed.sh(fetch, check=False) == "ok\n")
    return primed


def test_no_problems(web: Host) -> None:
    before = Snapshot.of(web)
    assert findings(web) == {}
    shown = web.minirun("doctor", "--all").stdout
    assert "ok: Linux " in shown
    assert "ok: web: 0.0.0.0:8080->80/tcp: arrived: web answered on tcp port 80\n" in shown
    assert_same(web, before)


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        ("sysctl -q -w net.ipv4.ip_forward=0", "IPv4 forwarding is off"),
        ("nft flush ruleset", "rules are missing"),
        ("ip link set minirun0 down", "the bridge is down"),
        ("ip link del minirun0", "the bridge is missing"),
        ("ip netns exec web ip link set eth0 down", "eth0 is down"),
        (
            "ip link add stray type veth peer name p; ip link set stray alias 'minirun gone 000000000000 eth0'",
            "interface stray belongs to no recorded container",
        ),
        ("mkdir /var/lib/minirun/containers/0123", "files of a container that has no record: 0123"),
        ("mkdir /sys/fs/cgroup/minirun/feed", "a cgroup of a container that has no record: feed"),
    ],
    ids=lambda value: value if value.startswith(("sysctl", "nft", "ip", "mkdir")) else "",
)
def test_problems_of_minirun_are_reported_and_repaired(web: Host, damage: str, problem: str) -> None:
    if "cgroup" in damage and not web.sh("ls -d /sys/fs/cgroup/minirun 2>/dev/null || true"):
        pytest.skip("this machine has no cgroup v2 hierarchy")
    before = Snapshot.of(web)
    with web.unwatched():
        web.sh(damage)
        problems = findings(web, "--quick")
        assert any(problem in what and finding["can_mend"] for what, finding in problems.items()), problems
        assert findings(web, "--quick") == problems, "a check changes nothing"
        assert f"repaired: {next(iter(problems))}\n" in web.minirun("doctor", "--fix", "--quick").stderr
    assert findings(web) == {}
    eventually(lambda: assert_same(web, before) is None)


def test_problems_that_only_the_user_can_fix(web: Host) -> None:
    web.minirun("run", "-d", "--name", "shy", "-p", "7070:70", "busybox", "httpd", "-f", "-p", "127.0.0.1:70")
    web.minirun("run", "-d", "--name", "mute", "-p", "9090:90", *SLEEP)
    web.minirun("network", "create", "--subnet", "10.77.0.0/24", "own")
    web.sh("ip link add lan1 type veth peer name lan1p; ip address add 10.77.0.9/16 dev lan1; ip link set lan1 up")
    eventually(lambda: any("listens on 127.0.0.1 inside" in what for what in findings(web)))
    problems = findings(web)
    text = "\n".join(problems)
    assert "mute: 0.0.0.0:9090->90/tcp: arrived at mute, which refused it: no program listens on port 90" in text
    assert "the subnet of network own overlaps with that of lan1" in text
    clash = next(finding for what, finding in problems.items() if "network own overlaps" in what)
    assert clash["evidence"] == "10.77.0.0/24 and 10.77.0.9/16 on lan1"
    assert not any(finding["can_mend"] for finding in problems.values())
    assert "\n    do: make the program listen on 0.0.0.0" in web.minirun("doctor", check=False).stdout


def test_the_policy_of_a_foreign_table(web: Host) -> None:
    web.sh("nft 'add table inet mine; add chain inet mine c { type filter hook forward priority 10; policy drop; }'")
    problems = findings(web)
    assert any("drops forwarded packets, and its chain c lacks minirun's rules" in what for what in problems)
    assert any("by the policy of chain c of another program's table inet mine" in what for what in problems)


# --- inspect --rules


def test_rules_of_a_container(web: Host) -> None:
    web.minirun("network", "create", "--internal", "inner")
    web.minirun("run", "-d", "--name", "two", "--net=inner", *SLEEP)
    shown = web.minirun("inspect", "--rules", "web").stdout
    identity = web.minirun("inspect", "-f", "{{.Id}}", "web").stdout[:12]
    veth = f"veth{identity[:8]}"
    for line in (
        f"web ({identity})",
        f'    {veth} alias "minirun web {identity} eth0"',
        "  inet minirun map published",
        f'    tcp . 8080 comment "{identity}" : 172.17.0.',
        "  inet minirun chain into_minirun0  (network bridge)",
        "    ct status dnat accept",
        "  bridge minirun set ports",
        f'    {veth} comment "{identity}"\n',
    ):
        assert line in shown
    other = web.minirun("inspect", "--rules", "two").stdout
    assert "8080" not in other
    assert veth not in other
    assert "(network inner)" in other
    container = json.loads(web.minirun("inspect", "--rules", "-f", "json", "web").stdout)[0]
    assert container["Name"] == "web"
    assert f'tcp . 8080 comment "{identity}"' in str([rule["text"] for rule in container["Rules"]])
    both = web.minirun("inspect", "--rules", "web", "two").stdout
    assert "web (" in both
    assert "two (" in both


def test_rules_in_a_foreign_chain(web: Host) -> None:
    web.sh("nft 'add table ip filter; add chain ip filter DOCKER-USER'")
    web.sh("nft 'add chain ip filter FORWARD { type filter hook forward priority 0; policy drop; }'")
    web.sh("nft 'add rule ip filter FORWARD jump DOCKER-USER'")
    web.minirun("network", "reload")
    shown = web.minirun("inspect", "--rules", "web").stdout
    assert "ip filter chain DOCKER-USER  (all networks, in another firewall's table)" in shown
    assert 'oifname "minirun0"' in shown


@pytest.fixture(scope="module")
def quiet() -> Iterator[Host]:
    with Host() as host:
        yield host


def test_a_host_without_containers(quiet: Host) -> None:
    assert findings(quiet) == {}
    quiet.minirun("run", "-d", "--name", "alone", "--net=none", *SLEEP)
    assert quiet.minirun("inspect", "--rules", "alone").stdout.startswith("alone (")
    assert quiet.minirun("inspect", "--rules", "nobody", check=False).returncode == 1
    assert findings(quiet) == {}
