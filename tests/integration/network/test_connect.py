"""network connect and disconnect, of containers that run and of those that do not, by real packets."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.harness import Host, Neighbour, Snapshot, assert_same, eventually
from tests.harness.fault_sweep import Done, sweep_faults

_IFNAME, _SYSCTLS = (f"com.docker.network.endpoint.{name}" for name in ("ifname", "sysctls"))
_SERVE = ("httpd", "-f", "-h", "/var/www")


@pytest.fixture(scope="module")
def lan() -> Iterator[Neighbour]:
    """Another machine beside a host with two networks."""
    with Host() as host:
        host.minirun("run", "--rm", "busybox", "true")
        host.minirun("network", "create", "--subnet", "10.1.0.0/24", "--ipv6", "--subnet", "fd01::/64", "one")
        host.minirun("network", "create", "--subnet", "10.2.0.0/24", "two")
        host.minirun("network", "create", "--subnet", "10.3.0.0/24", "--internal", "inner")
        host.minirun("run", "-d", "--name", "peer", "--net", "two", "busybox", *_SERVE)
        # The resolver's legs stay while it runs: all are there before the first test looks.
        host.minirun("run", "-d", "--name", "others", "--net", "one", "--net", "inner", "busybox", "sleep", "1000")
        host.minirun("run", "-d", "--name", "inmate", "--net", "inner", "busybox", "sleep", "1000")
        neighbour = host.neighbour()
        eventually(lambda: host.sh("ip -6 -o address show scope link | grep mr-"))
        yield neighbour


@pytest.fixture
def box(lan: Neighbour) -> Iterator[Host]:
    host = lan.host
    before = Snapshot.of(host)
    yield host
    names = host.minirun("ps", "-aq", "--filter", "label=test").stdout.split()
    if names:
        host.minirun("rm", "-f", *names)
    assert_same(host, before)


def networks(host: Host, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(host.minirun("inspect", name).stdout)[0]["NetworkSettings"]["Networks"]
    return found


def start(host: Host, name: str, *words: str) -> None:
    host.minirun("run", "-d", "--name", name, "--label", "test", *words, "busybox", *_SERVE)


def inside(host: Host, name: str, *words: str) -> str:
    return str(host.minirun("exec", name, *words, check=False).stdout)


def fetch(address: str) -> list[str]:
    return ["timeout", "3", "busybox", "wget", "-qO-", f"http://{address}/"]


def test_a_running_container_joins_a_network_and_leaves_it(box: Host) -> None:
    start(box, "web", "--net", "one")
    words = ["--ip", "10.2.0.9", "--alias", "www", "--mac-address", "02:00:00:00:00:99", "two", "web"]
    box.minirun("network", "connect", *words)
    shown = inside(box, "web", "ip", "address", "show", "eth1")
    assert "10.2.0.9/24" in shown
    assert "02:00:00:00:00:99" in shown
    assert list(networks(box, "web")) == ["one", "two"]
    assert "default via 10.1.0.1 dev eth0" in inside(box, "web", "ip", "route")  # as it was
    assert any(line.startswith("10.2.0.9\t") for line in inside(box, "web", "cat", "/etc/hosts").splitlines())
    assert "minirun" in inside(box, "peer", "timeout", "3", "wget", "-qO-", "http://www/")  # by its alias there
    assert "minirun" in inside(box, "web", "timeout", "3", "wget", "-qO-", "http://peer/")
    box.minirun("network", "disconnect", "two", "web")
    assert list(networks(box, "web")) == ["one"]
    assert "eth1" not in inside(box, "web", "ip", "link")
    assert "10.2.0.9" not in inside(box, "web", "cat", "/etc/hosts")
    assert inside(box, "peer", "timeout", "3", "wget", "-qO-", "http://www/") == ""
    events = box.minirun("events", "--since", "1m", "--until", "0s", "--filter", "type=network").stdout
    assert events.index("network connect") < events.index("network disconnect")


def test_the_way_out_and_the_ports_follow(box: Host, lan: Neighbour) -> None:
    """When the first network goes, the next one leads outside; with none of them the ports are closed."""
    start(box, "web", "--net", "one", "-p", "8080:80")
    published = fetch(f"{lan.host_address}:8080")
    assert "minirun" in eventually(lambda: lan.run(published, check=False).stdout)
    box.minirun("network", "connect", "two", "web")
    box.minirun("network", "disconnect", "one", "web")
    assert "default via 10.2.0.1 dev eth1" in inside(box, "web", "ip", "route")
    assert "minirun" in lan.run(published, check=False).stdout
    assert "ping statistics" in inside(box, "web", "ping", "-c1", "-W2", lan.address)
    box.minirun("network", "connect", "inner", "web")
    box.minirun("network", "disconnect", "two", "web")
    assert "default" not in inside(box, "web", "ip", "route")
    assert lan.run(published, check=False).returncode
    assert "8080" not in box.sh("ss -Hltn")  # and somebody else may have the port
    box.minirun("network", "connect", "--gw-priority", "1", "one", "web")
    assert "default via 10.1.0.1" in inside(box, "web", "ip", "route")
    assert "minirun" in lan.run(published, check=False).stdout
    box.minirun("network", "connect", "--gw-priority", "2", "two", "web")
    assert inside(box, "web", "ip", "route").count("default") == 1
    assert "default via 10.2.0.1" in inside(box, "web", "ip", "route")
    assert "minirun" in lan.run(published, check=False).stdout


def test_driver_options_name_interfaces_and_set_their_sysctls(box: Host) -> None:
    sysctls = "net.ipv4.conf.IFNAME.log_martians=1,net.ipv4.neigh.ifname.gc_stale_time=77"
    asked = f'name=one,"driver-opt={_SYSCTLS}={sysctls}",driver-opt={_IFNAME}=front.0,driver-opt=what=ever'
    start(box, "web", "--net", asked, "--net", "two")

    def links() -> list[str]:
        return sorted(inside(box, "web", "ls", "/sys/class/net").split())

    def values() -> list[str]:
        paths = ("conf/front.0/log_martians", "neigh/front.0/gc_stale_time", "conf/eth0/log_martians")
        return inside(box, "web", "cat", *(f"/proc/sys/net/ipv4/{path}" for path in paths)).split()

    assert links() == ["eth0", "front.0", "lo"]
    assert values() == ["1", "77", "0"]
    assert networks(box, "web")["one"]["DriverOpts"] == {_SYSCTLS: sysctls, _IFNAME: "front.0", "what": "ever"}
    assert networks(box, "web")["two"]["DriverOpts"] is None
    assert inside(box, "web", *fetch(networks(box, "peer")["two"]["IPAddress"]))
    box.sh(f"ip link del {networks(box, 'web')['one']['HostInterface']}")
    box.minirun("network", "reload")  # repaired as it was
    assert (links(), values()) == (["eth0", "front.0", "lo"], ["1", "77", "0"])
    option = f"{_SYSCTLS}=net.ipv4.conf.IFNAME.log_martians=1"
    box.minirun("network", "connect", "--driver-opt", option, "--driver-opt", f"{_IFNAME}=eth9", "inner", "web")
    assert links() == ["eth0", "eth9", "front.0", "lo"]
    assert inside(box, "web", "cat", "/proc/sys/net/ipv4/conf/eth9/log_martians") == "1\n"
    box.minirun("restart", "-t0", "web")
    assert links() == ["eth0", "eth9", "front.0", "lo"]
    assert values() == ["1", "77", "0"]
    box.minirun("network", "disconnect", "one", "web")
    assert links() == ["eth0", "eth9", "lo"]


def test_a_network_may_name_its_interfaces(box: Host) -> None:
    prefix = "com.docker.network.container_iface_prefix"
    box.minirun("network", "create", "-o", f"{prefix}=lan", "named")
    try:
        start(box, "web", "--net", "named", "--net", "two")
        assert sorted(inside(box, "web", "ls", "/sys/class/net").split()) == ["eth0", "lan0", "lo"]
        done = box.minirun("network", "create", "-o", f"{prefix}=a/b", "bad", check=False)
        assert "it takes the beginning of a link's name" in done.stderr
    finally:
        box.minirun("rm", "-f", "web")
        box.minirun("network", "rm", "named")


def test_names_come_with_the_first_network_that_has_them(box: Host) -> None:
    start(box, "web")
    assert inside(box, "web", "timeout", "3", "wget", "-qO-", "http://peer/") == ""
    box.minirun("network", "connect", "two", "web")
    assert "127.0.0.11" in inside(box, "web", "cat", "/etc/resolv.conf")
    assert "minirun" in inside(box, "web", "timeout", "3", "wget", "-qO-", "http://peer/")
    box.minirun("network", "connect", "inner", "web")
    box.minirun("network", "disconnect", "two", "web")  # the DNS server is now reached through the other one
    assert "10.3.0." in inside(box, "web", "timeout", "3", "nslookup", "inmate")
    box.minirun("network", "disconnect", "inner", "web")
    assert "127.0.0.11" not in inside(box, "web", "cat", "/etc/resolv.conf")


def test_the_order_is_the_same_after_every_restart(box: Host) -> None:
    start(box, "web", "--net", "one")
    box.minirun("network", "connect", "inner", "web")
    box.minirun("network", "connect", "two", "web")
    box.minirun("network", "disconnect", "inner", "web")
    seen = set()
    for _ in range(3):
        box.minirun("restart", "-t", "0", "web")
        seen.add((*networks(box, "web"), *(end["Interface"] for end in networks(box, "web").values())))
    assert seen == {("one", "two", "eth0", "eth1")}


@pytest.mark.parametrize("flags", [[], ["-f"]])
def test_a_stopped_container_leaves_a_network_that_was_removed(box: Host, flags: list[str]) -> None:
    box.minirun("network", "create", "gone")
    start(box, "web", "--net", "gone", "--net", "two")
    box.minirun("stop", "-t", "0", "web")
    box.minirun("network", "rm", "gone")
    for verb in ("start", "restart"):
        done = box.minirun(verb, "web", check=False)
        assert (done.returncode, "network gone not found" in done.stderr) == (1, True), verb
    done = box.minirun("network", "disconnect", *flags, "never", "web", check=False)
    assert (done.returncode, "network never not found" in done.stderr) == (1, True)
    box.minirun("network", "disconnect", *flags, "gone", "web")
    box.minirun("start", "web")
    assert list(networks(box, "web")) == ["two"]


def test_a_stopped_container_joins_at_its_next_start(box: Host) -> None:
    box.minirun("create", "--name", "web", "--label", "test", "--net", "one", "busybox", *_SERVE)
    box.minirun("network", "connect", "--ip", "10.2.0.77", "--ip6", "", "two", "web")
    box.minirun("network", "disconnect", "one", "web")
    box.minirun("start", "web")
    assert {name: end["IPAddress"] for name, end in networks(box, "web").items()} == {"two": "10.2.0.77"}
    box.minirun("stop", "-t", "0", "web")
    box.minirun("network", "disconnect", "two", "web")
    box.minirun("start", "web")
    assert networks(box, "web") == {}
    assert "eth" not in inside(box, "web", "ip", "link")
    box.minirun("network", "connect", "one", "web")
    assert "10.1.0." in inside(box, "web", "ip", "address", "show", "eth0")


def test_who_shares_its_namespace_is_connected_with_it(box: Host) -> None:
    start(box, "web", "--net", "one")
    box.minirun("run", "-d", "--name", "guest", "--label", "test", "--net", "container:web", "busybox", "sleep", "99")
    box.minirun("network", "connect", "two", "web")
    assert "10.2.0." in inside(box, "guest", "ip", "address", "show", "eth1")
    assert "minirun" in inside(box, "guest", "timeout", "3", "wget", "-qO-", "http://peer/")


def test_an_address_of_the_second_family_and_links(box: Host) -> None:
    start(box, "web", "--net", "two")
    box.minirun("network", "connect", "--ip6", "fd01::77", "--link", "peer:friend", "one", "web")
    assert networks(box, "web")["one"]["GlobalIPv6Address"] == "fd01::77"
    assert "fd01::77/64" in inside(box, "web", "ip", "address", "show", "eth1")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["connect", "nothing", "peer"], "network nothing not found"),
        (["connect", "one", "nobody"], "No such container: nobody"),
        (["connect", "two", "peer"], "endpoint with name peer already exists in network two"),
        (["connect", "host", "peer"], "container cannot be disconnected from host network or connected to host"),
        (["connect", "none", "peer"], "none network"),
        (["connect", "--ip", "10.9.9.9", "one", "peer"], "does not belong to network one's subnet"),
        (["connect", "--ip6", "fd00::1", "bridge", "peer"], "network bridge has no IPv6"),
        (["connect", "--alias", "x", "bridge", "peer"], "only for containers in user defined networks"),
        (["connect", "--mac-address", "x", "one", "peer"], "not a valid mac address"),
        (["connect", "--driver-opt", "a", "one", "peer"], "invalid key value pair format in driver options"),
        (["connect", "--driver-opt", f"{_IFNAME}=a b", "one", "peer"], "invalid interface name 'a b'"),
        (["connect", "--driver-opt", f"{_IFNAME}=eth0", "one", "peer"], "the container has an interface eth0 already"),
        (
            ["connect", "--driver-opt", f"{_SYSCTLS}=net.ipv4.conf.IFNAME.nothing=1", "one", "peer"],
            f"{_SYSCTLS}=net.ipv4.conf.IFNAME.nothing=1: No such file or directory",
        ),
        (["disconnect", "one", "peer"], "is not connected to network one"),
        (["disconnect", "one", "nobody"], "No such container: nobody"),
        (["connect", "one", "alone"], "networks in private (none) mode"),
        (["connect", "one", "within"], "container sharing network namespace with another container or host"),
    ],
    ids=" ".join,
)
def test_what_cannot_be_is_said_in_dockers_words(box: Host, words: list[str], says: str) -> None:
    if words[-1] == "alone":
        start(box, "alone", "--net", "none")
    if words[-1] == "within":
        start(box, "within", "--net", "container:peer")
    before = networks(box, "peer")
    done = box.minirun("network", *words, check=False)
    assert done.returncode
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert networks(box, "peer") == before


def test_force_asks_for_no_container(box: Host) -> None:
    assert box.minirun("network", "disconnect", "-f", "one", "nobody").returncode == 0
    assert box.minirun("network", "disconnect", "--force", "one", "peer", check=False).returncode == 1


@pytest.mark.parametrize("how", ["fail", "kill"])
def test_a_fault_at_any_step_leaves_it_connected_or_not(primed: Host, how: str) -> None:
    """What is listed is what is there: link, default route, published port, name; and all of it can be changed back."""
    lan = primed.neighbour()
    primed.minirun("network", "create", "one")
    primed.minirun("network", "create", "two")
    primed.minirun("run", "-d", "--name", "peer", "--net", "one", "--net", "two", "busybox", "sleep", "1000")
    primed.minirun("run", "-d", "--name", "web", "--net", "one", "-p", "8080:80", "busybox", *_SERVE)
    plain = Snapshot.of(primed)
    flags = {"connect": ["--gw-priority", "9"], "disconnect": []}

    def is_connected() -> bool:
        found = networks(primed, "web")
        links = inside(primed, "web", "ip", "-o", "-4", "address")
        assert {one["IPAddress"] for one in found.values()} == {
            line.split()[3].partition("/")[0] for line in links.splitlines() if " lo " not in line
        }
        way_out = found.get("two") or found["one"]
        assert f"default via {way_out['Gateway']} " in inside(primed, "web", "ip", "route")
        assert lan.run(fetch(f"{lan.host_address}:8080"), check=False).stdout
        assert ("two" in found) == ("Name:" in inside(primed, "peer", "nslookup", "web.two"))
        return "two" in found

    for verb, back in (("connect", "disconnect"), ("disconnect", "connect")):
        if verb == "disconnect":
            primed.minirun("network", "connect", *flags["connect"], "two", "web")

        def check(_: Done, verb: str = verb, back: str = back) -> None:
            now = eventually(lambda: (is_connected(),))[0]
            if now == (verb == "connect"):
                primed.minirun("network", back, *flags[back], "two", "web")

        sweep_faults(primed, how, ["network", verb, *flags[verb], "two", "web"], check, least=4)
    primed.minirun("network", "disconnect", "two", "web")
    assert_same(primed, plain)
