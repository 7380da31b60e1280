"""Networks of other drivers than bridge, by real packets."""

import pytest

from tests.harness import Host, Snapshot, assert_same, eventually

_LAN = ["--subnet", "192.0.2.0/24", "--gateway", "192.0.2.2", "--ip-range", "192.0.2.128/25"]


def test_a_container_on_a_macvlan_is_a_neighbour_on_the_lan(primed: Host) -> None:
    lan = primed.neighbour()
    before = Snapshot.of(primed)
    words = ["-d", "macvlan", "-o", "parent=lan0", *_LAN]
    primed.minirun("network", "create", *words, "street")
    primed.minirun("run", "-d", "--name", "web", "--net", "street", "busybox", "httpd", "-f", "-h", "/var/www")
    primed.minirun("run", "-d", "--name", "peer", "--net", "street", "--ip", "192.0.2.77", "busybox", "sleep", "1000")
    fetch = ["timeout", "3", "busybox", "wget", "-qO-", "http://192.0.2.128/"]
    assert "minirun" in eventually(lambda: lan.run(fetch, check=False).stdout)  # every port is open there
    assert "minirun" in primed.minirun("exec", "peer", *fetch[:2], *fetch[3:]).stdout
    assert primed.minirun("exec", "web", "ping", "-c1", "-W2", lan.address).returncode == 0
    assert primed.run(fetch, check=False).returncode  # the host itself does not reach it by that link
    mac = primed.minirun("inspect", "-f", "{{.NetworkSettings.Networks.street.MacAddress}}", "web").stdout.strip()
    assert mac in lan.sh("ip neigh show 192.0.2.128")
    primed.minirun("restart", "-t", "0", "web")
    assert "minirun" in eventually(lambda: lan.run(fetch, check=False).stdout)
    published = primed.minirun("run", "--rm", "-p", "80:80", "--net", "street", "busybox", "true", check=False)
    assert (published.returncode, "an address of its own" in published.stderr) == (125, True)
    primed.minirun("rm", "-f", "web", "peer")
    primed.minirun("network", "rm", "street")
    assert_same(primed, before)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "needs -o parent=LINK"),
        (["-o", "parent=nothing"], "the parent link nothing of network wrong is not there"),
        (["-o", "parent=lan0.50"], "ip link add link lan0 name lan0.50 type vlan id 50"),
        (["-o", "parent=lan0", "-o", "macvlan_mode=loud"], "it takes bridge, private, vepa, passthru"),
        (["-o", "parent=lan0", "-o", "com.docker.network.bridge.name=x"], "the driver macvlan has none of that name"),
    ],
)
def test_macvlan_refuses(crowded: Host, words: list[str], says: str) -> None:
    crowded.sh("ip link show lan0 >/dev/null 2>&1 || ip link add lan0 type veth peer name lan1")
    done = crowded.minirun("network", "create", "-d", "macvlan", *words, "wrong", check=False)
    assert (done.returncode, says in done.stderr) == (1, True), done.stderr


def test_two_networks_do_not_share_a_parent(crowded: Host) -> None:
    crowded.sh("ip link show lan0 >/dev/null 2>&1 || ip link add lan0 type veth peer name lan1")
    crowded.minirun("network", "create", "-d", "macvlan", "-o", "parent=lan0", *_LAN, "first")
    done = crowded.minirun("network", "create", "-d", "macvlan", "-o", "parent=lan0", "second", check=False)
    assert "network first is already using parent interface lan0" in done.stderr
    crowded.minirun("network", "rm", "first")
