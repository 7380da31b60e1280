"""minirun map: the kernel's state, compared with the records."""

import json
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator

import pytest

from tests.harness import Host, Snapshot, assert_same, eventually
from tests.harness.host import MINIRUN

SLEEP = ("busybox", "sleep", "1000")


@pytest.fixture(scope="module")
def machine() -> Iterator[Host]:
    with Host() as host:
        host.neighbour(default_route=True)
        host.minirun("run", "-d", "--name", "web", "-p", "8080:80", "-p", "8443-8445:443-445", *SLEEP)
        host.minirun("run", "-d", "--name", "mate", "--net=container:web", *SLEEP)
        host.minirun("run", "-d", "--name", "hosty", "--net=host", *SLEEP)
        host.minirun("run", "-d", "--name", "alone", "--net=none", *SLEEP)
        host.minirun("network", "create", "--internal", "db")
        host.minirun("run", "-d", "--name", "data", "--net=db", *SLEEP)
        host.minirun("network", "connect", "db", "web")
        host.minirun("--root", "/run/other", "run", "-d", "--name", "theirs", *SLEEP)
        host.minirun("netns", "create", "sfo", "nyc", "empty", "other")
        host.minirun("netns", "connect", "sfo=10.0.0.11/24", "nyc=10.0.0.12/24")
        host.sh("nft 'add table ip filter; add chain ip filter DOCKER-USER'")
        host.sh("nft 'add chain ip filter FORWARD { type filter hook forward priority 0; policy drop; }'")
        # The process that watches for damage sees this, and adds minirun's rules.
        eventually(lambda: 'oifname "minirun0"' in host.sh("nft list table ip filter"))
        host.sh("ip link add docker0 type bridge; ip address add 172.30.0.1/16 dev docker0; ip link set docker0 up")
        host.sh("ip link add vx type veth peer name vy; ip link set vx master docker0 up")
        host.sh("ip link set vy netns other address 02:42:00:00:00:01; ip -n other link set vy up")
        yield host


TREE = """
host HOST  lan0 192.0.2.1/24

minirun0  network bridge  172.17.0.1/16
└─ VETH ── eth0  web  172.17.0.2/16  02:42:ac:11:00:02  via 172.17.0.1
      0.0.0.0:8080 → 80/tcp
      [::]:8080 → 80/tcp
      0.0.0.0:8443-8445 → 443-445/tcp
      [::]:8443-8445 → 443-445/tcp

BRIDGE  network db, internal  172.18.0.1/22
├─ VETH ── eth0  data  172.18.0.2/22  02:42:ac:12:00:02
├─ VETH-1 ── eth1  web  172.18.0.3/22  02:42:ac:12:00:03
└─ DNS-VETH ── DNS server

mr553006ea0  network bridge of another state root  172.18.4.1/22
└─ VETH ── eth0  theirs  172.18.4.2/22  02:42:ac:12:04:02

docker0  not minirun's  172.30.0.1/16
└─ vx ── vy  other  02:42:00:00:00:01

no network  alone
empty  a namespace without links
mate + web  share one network stack
nyc  veth-nyc 10.0.0.12/24 ── veth-sfo sfo
sfo  veth-sfo 10.0.0.11/24 ── veth-nyc nyc
host network  hosty

rules inet minirun  minirun's
rules inet minirun_553006ea  minirun's
rules ip filter  Docker's  drops by policy: FORWARD
"""


def test_the_tree(machine: Host) -> None:
    before = Snapshot.of(machine)
    shown = machine.run(["env", "LC_ALL=C.UTF-8", MINIRUN, "map"]).stdout
    for pattern, name in (
        (r"veth[0-9a-f]{8}", "VETH"),
        (r"mr-[0-9a-f]{10}", "BRIDGE"),
        (r"mrd-[0-9a-f]{10}", "DNS-VETH"),
    ):
        shown = re.sub(pattern, name, shown)
    head, *rest = shown.strip("\n").split("\n")
    assert re.fullmatch(r"host \S+  lan0 192\.0\.2\.1/24", head)
    assert rest == TREE.strip("\n").split("\n")[1:]
    plain = machine.run(["env", "LC_ALL=C", MINIRUN, "map"]).stdout
    assert plain.isascii()
    assert re.search(r"\n\|- veth\S+ -- eth0  data ", plain)
    assert "\n      0.0.0.0:8080 -> 80/tcp\n" in plain
    assert_same(machine, before)


def test_other_formats(machine: Host) -> None:
    topology = json.loads(machine.minirun("map", "--json").stdout)
    assert topology["troubles"] == []
    by_name = {bridge["network"]: bridge for bridge in topology["switches"]}
    assert by_name["bridge"]["plugs"][0]["owner"] == "web"
    assert by_name["db"]["internal"]
    assert by_name[""]["name"] == "docker0"
    rows = [re.split(r" {3,}", line) for line in machine.minirun("map", "--table").stdout.splitlines()]
    assert rows[0] == ["NETWORK", "BRIDGE", "VETH", "OWNER", "ADDRESSES", "PORTS"]
    assert [row[3] for row in rows[1:] if row[0] == "bridge"] == ["web"]
    picture = ElementTree.fromstring(machine.minirun("map", "--svg").stdout)
    words = ["".join(element.itertext()) for element in picture.iter() if element.tag.endswith("text")]
    for name in ("web", "data", "mate", "hosty", "alone", "theirs", "sfo", "lan0", "DNS server"):
        assert words.count(name) == 1, "one box each, on however many networks it is"
    expected = {"NAT", "bridge", "minirun0", "not minirun's", "of another state root", "0.0.0.0:8080 → 80/tcp"}
    assert set(words) >= expected | {"network of web"}
    assert '"mate" -- "web" [label="one network stack"];' in machine.minirun("map", "--dot").stdout
    assert 'n0["web"]' in machine.minirun("map", "--mermaid").stdout
    assert machine.minirun("map", "--svg", "--dot", check=False).returncode == 1


DAMAGE = {
    "ip link set {veth} nomaster": "is not attached to minirun0",
    "ip link set {veth} down": "{veth} is down",
    "ip netns exec web ip link set eth0 down": "eth0 is down",
    "ip netns exec web ip address flush dev eth0": "eth0 lacks its address 172.17.0.",
    "ip netns exec web ip link del eth0": "eth0 is missing in the namespace",
    "ip link set minirun0 down": "minirun0: the bridge is down",
    "ip link del minirun0": "minirun0: the bridge is missing",
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_differences_from_the_records_are_shown_and_not_repaired(primed: Host, damage: str) -> None:
    primed.minirun("run", "-d", "--name", "web", *SLEEP)
    veth = primed.sh("ip -br link | grep -o 'veth[0-9a-f]*'").strip()
    primed.sh(damage.format(veth=veth))
    shown = primed.minirun("map").stdout
    assert "\nProblems\n" in shown
    assert DAMAGE[damage].format(veth=veth) in shown
    assert primed.minirun("map").stdout == shown
    primed.minirun("network", "reload")
    assert "Problems" not in primed.minirun("map").stdout


def test_a_host_without_containers(host: Host) -> None:
    assert len(host.minirun("map").stdout.splitlines()) == 1, "only the host"
    ElementTree.fromstring(host.minirun("map", "--svg").stdout)
