"""network create with its flags, and what a container wants of each of its networks."""

import json
from collections.abc import Iterator

import pytest

from tests.harness import Host, Snapshot, assert_same, eventually
from tests.harness.fault_sweep import count_operations
from tests.harness.host import MINIRUN


@pytest.fixture(scope="module")
def box() -> Iterator[Host]:
    with Host() as host:
        host.minirun("run", "--rm", "busybox", "true")
        eventually(lambda: "veth" not in host.sh("ip link"))
        yield host


def inspect(host: Host, name: str) -> dict[str, object]:
    found: dict[str, object] = json.loads(host.minirun("network", "inspect", name).stdout)[0]
    return found


def test_create_with_every_flag_shows_in_inspect_and_goes_away(box: Host) -> None:
    before = Snapshot.of(box)
    words = ["--subnet", "10.9.0.0/16", "--gateway", "10.9.0.254", "--ip-range", "10.9.4.0/24"]
    words += ["--aux-address", "router=10.9.4.1", "--ipv6", "--subnet", "fd09::/64", "--gateway", "fd09::ff"]
    words += [
        "--internal",
        "--attachable",
        "--label",
        "a=b",
        "--label",
        "c",
        "-o",
        "com.docker.network.driver.mtu=1400",
    ]
    words += ["--scope", "local", "--ipam-driver", "default", "--ipv4"]
    words += ["--driver", "bridge", "-e", "SHARED=yes", "--opt", "com.docker.network.bridge.name=mine0"]
    identity = box.minirun("network", "create", *words, "all").stdout.strip()
    found = inspect(box, "all")
    assert found["Id"] == identity
    assert found["IPAM"]["Config"] == [  # type: ignore[index]
        {
            "Subnet": "10.9.0.0/16",
            "IPRange": "10.9.4.0/24",
            "Gateway": "10.9.0.254",
            "AuxiliaryAddresses": {"router": "10.9.4.1"},
        },
        {"Subnet": "fd09::/64", "Gateway": "fd09::ff"},
    ]
    assert (found["EnableIPv6"], found["Internal"], found["Attachable"]) == (True, True, True)
    assert found["Labels"] == {"a": "b", "c": ""}
    assert found["Env"] == ["SHARED=yes"]
    link = json.loads(box.sh("ip -j link show mine0"))[0]
    assert link["mtu"] == 1400
    assert "10.9.0.254/16" in box.sh("ip address show mine0")
    row = box.minirun("network", "ls", "--format", "{{.Name}} {{.Internal}} {{.IPv6}} {{.Labels}}").stdout
    assert "all true true a=b,c=" in row
    box.minirun("network", "rm", "all")
    assert_same(box, before)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--subnet", "10.9.0.0/16", "--subnet", "10.10.0.0/16"], "only one subnet per address family"),
        (["--subnet", "fd00::/64"], "an IPv6 subnet needs --ipv6"),
        (["--gateway", "10.9.0.1"], "needs a subnet"),
        (["--subnet", "10.9.0.0/24", "--gateway", "10.8.0.1"], "no matching subnet for 10.8.0.1"),
        (["--subnet", "10.9.0.0/24", "--gateway", "10.9.0.0"], "not a host address"),
        (["--subnet", "10.9.0.0/24", "--ip-range", "10.9.1.0/28"], "no matching subnet"),
        (["--subnet", "10.9.0.0/24", "--aux-address", "10.9.0.7"], "NAME=ADDRESS"),
        (["--subnet", "10.9.0.1/24"], "has host bits set"),
        (["--subnet", "10.9.0.0/31"], "no room"),
        (["-o", "no.such=1"], "the driver bridge has no such option"),
        (["-o", "com.docker.network.driver.mtu=tiny"], "it takes 68 to 65535"),
        (["-o", "com.docker.network.bridge.name=lo"], 'a link named "lo" exists already'),
        (["--driver", "nothing"], "could not find plugin nothing"),
        (["--label", "=x"], "empty name"),
        (["--scope", "swarm"], "there is no swarm"),
        (["--ipam-driver", "dhcp"], "--ipam-driver dhcp is not supported"),
        (["--ipv4=false"], "--ipv4=false is not supported: every network has IPv4"),
        (["--config-from", "nosuch"], "network nosuch not found"),
        (["--config-from", "bridge"], 'the network "bridge" is not a configuration network'),
        (["--config-only", "--config-from", "bridge"], "cannot depend on another configuration network"),
        (["--config-only", "--internal"], "configuration network can only contain network specific fields"),
        (["--config-only", "--driver", "macvlan"], "a configuration network has no driver"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_create_refuses(box: Host, words: list[str], says: str) -> None:
    before = Snapshot.of(box)
    done = box.minirun("network", "create", *words, "wrong", check=False)
    assert done.returncode
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert box.minirun("network", "ls", "--format", "{{.Name}}").stdout.split() == ["bridge", "host", "none"]
    assert_same(box, before)


def test_a_network_from_the_configuration_of_another(box: Host) -> None:
    before = Snapshot.of(box)
    words = ["--subnet", "10.9.0.0/24", "--gateway", "10.9.0.9", "--ipv6", "--subnet", "fd09::/64", "--label", "a=b"]
    words += ["-o", "com.docker.network.driver.mtu=1400", "-e", "SHARED=yes"]
    box.minirun("network", "create", "--config-only", *words, "plan")
    assert_same(box, before)
    assert box.minirun("network", "reload").returncode == 0
    assert "plan null local" in box.minirun("network", "ls", "--format", "{{.Name}} {{.Driver}} {{.Scope}}").stdout
    assert "plan" not in box.minirun("network", "prune", "-f").stdout
    done = box.minirun("run", "--rm", "--net=plan", "busybox", "true", check=False)
    assert (done.returncode, "cannot create endpoint on configuration-only network plan" in done.stderr) == (125, True)
    done = box.minirun("network", "create", "--config-from", "plan", "--label", "x", "made", check=False)
    assert "user specified configurations are not supported if the network depends" in done.stderr
    box.minirun("network", "create", "--config-from", "plan", "--attachable", "made")
    plan, made = inspect(box, "plan"), inspect(box, "made")
    assert (plan["ConfigOnly"], plan["ConfigFrom"], plan["Driver"]) == (True, {"Network": ""}, "null")
    assert (made["ConfigOnly"], made["ConfigFrom"], made["Driver"]) == (False, {"Network": "plan"}, "bridge")
    assert made["IPAM"]["Config"] == [  # type: ignore[index]
        {"Subnet": "10.9.0.0/24", "Gateway": "10.9.0.9"},
        {"Subnet": "fd09::/64", "Gateway": "fd09::1"},
    ]
    assert (made["Labels"], made["Env"]) == (plan["Labels"], plan["Env"]) == ({"a": "b"}, ["SHARED=yes"])
    assert box.minirun("run", "--rm", "--net=made", "busybox", "cat", "/sys/class/net/eth0/mtu").stdout == "1400\n"
    for verb in ("map", "doctor"):
        assert "Traceback" not in box.minirun(verb, check=False).stderr
    done = box.minirun("network", "rm", "plan", check=False)
    assert 'configuration network "plan" is in use' in done.stderr
    assert box.minirun("network", "rm", "made", "plan").stdout == "made\nplan\n"
    assert_same(box, before)


def test_a_container_says_what_it_wants_of_each_network(box: Host) -> None:
    before = Snapshot.of(box)
    box.minirun("network", "create", "--subnet", "10.9.0.0/24", "--ipv6", "--subnet", "fd09::/64", "one")
    box.minirun("network", "create", "--subnet", "10.10.0.0/24", "two")
    both = ["--network", "name=one,ip=10.9.0.9,ip6=fd09::9,alias=web,alias=www"]
    both += ["--network", "name=two,ip=10.10.0.9,mac-address=02:00:00:00:00:09,gw-priority=1"]
    box.minirun("run", "-d", "--name", "web", *both, "busybox", "sleep", "1000")
    found = json.loads(box.minirun("inspect", "web").stdout)[0]["NetworkSettings"]["Networks"]
    assert found["one"]["IPAddress"] == "10.9.0.9"
    assert found["one"]["GlobalIPv6Address"] == "fd09::9"
    assert found["one"]["Aliases"] == ["web", "www"]
    assert found["two"]["MacAddress"] == "02:00:00:00:00:09"
    addresses = box.minirun("exec", "web", "ip", "address").stdout
    assert addresses.index("10.9.0.9/24") < addresses.index("10.10.0.9/24")
    assert "02:00:00:00:00:09" in addresses
    # The higher priority has the way out, whatever the order of the interfaces.
    assert "default via 10.10.0.1 dev eth1" in box.minirun("exec", "web", "ip", "route").stdout
    for words, says in (
        (["--network", "name=one,ip=10.9.0.9", "--ip", "10.9.0.8"], "cannot specify both --ip and per-network ip"),
        (["--network", "name=one,colour=red"], "invalid field key colour"),
        (["--network", "ip=10.9.0.9"], "no name set for network"),
        (["--network", "name=one,ip=10.8.0.9"], "does not belong to network one's subnet"),
        (["--network", "two", "--ip6", "fd09::8"], "network two has no IPv6"),
        (["--network", "one", "--ip", "10.8.9.9"], "does not belong to"),
        (["--network", "one", "--ip", "10.9.0.1"], "Address already in use"),
        (["--network", "one", "--ip", "10.9.0.255"], "broadcast"),
        (["--network", "one", "--ip6", "fd09::9"], "Address already in use"),
        (["--network", "one", "--network", "one"], "given twice"),
        (["--network-alias", "x"], "only for containers in user defined networks"),
    ):
        done = box.minirun("run", "--rm", *words, "busybox", "true", check=False)
        assert (done.returncode, says in done.stderr) == (125, True), done.stderr
    box.minirun("rm", "-f", "web")
    box.minirun("network", "rm", "one", "two")
    assert_same(box, before)


def test_a_network_shares_its_environment_and_a_container_has_the_last_word(box: Host) -> None:
    box.minirun("network", "create", "-e", "PATH=/bin", "-e", "DB=db.example", "-e", "LEVEL=low", "shared")
    words = ["--net", "shared", "-e", "LEVEL=high", "busybox"]
    printed = box.minirun("run", "--rm", *words, "env").stdout.splitlines()
    assert {"PATH=/bin", "DB=db.example", "LEVEL=high"} <= set(printed)  # the image's own PATH gives way
    box.minirun("run", "-d", "--name", "app", *words, "sleep", "1000")
    assert "DB=db.example" in box.minirun("exec", "app", "env").stdout
    assert "LEVEL=low" in box.minirun("exec", "-e", "LEVEL=low", "app", "env").stdout
    assert "DB=" not in box.minirun("run", "--rm", "busybox", "env").stdout  # of another network
    box.minirun("rm", "-f", "app")
    box.minirun("network", "rm", "shared")


def test_a_link_on_the_default_network_tells_by_variables_and_hosts(box: Host) -> None:
    box.minirun(
        "run", "-d", "--name", "db", "--expose", "5432", "--expose", "53/udp", "-e", "A=1", "busybox", "sleep", "99"
    )
    address = json.loads(box.minirun("inspect", "db").stdout)[0]["NetworkSettings"]["IPAddress"]
    printed = box.minirun("run", "--rm", "--name", "app", "--link", "db:my-db", "busybox", "env").stdout.splitlines()
    wanted = {
        "MY_DB_NAME=/app/my-db",
        f"MY_DB_PORT=udp://{address}:53",
        f"MY_DB_PORT_5432_TCP=tcp://{address}:5432",
        f"MY_DB_PORT_5432_TCP_ADDR={address}",
        "MY_DB_PORT_5432_TCP_PORT=5432",
        "MY_DB_PORT_5432_TCP_PROTO=tcp",
        "MY_DB_ENV_A=1",
    }
    assert wanted <= set(printed)
    hosts = box.minirun("run", "--rm", "--link", "db:my-db", "busybox", "cat", "/etc/hosts").stdout
    assert any(line.split()[:2] == [address, "my-db"] for line in hosts.splitlines())
    box.minirun("rm", "-f", "db")


def test_the_host_has_a_name_on_every_network(box: Host) -> None:
    """On the default network a line of the hosts file, on others an answer of the resolver."""
    box.minirun("network", "create", "--subnet", "10.9.0.0/24", "named")
    for words, gateway in (([], "172.17.0.1"), (["--net", "named"], "10.9.0.1")):
        done = box.minirun("run", "--rm", *words, "busybox", "ping", "-c1", "-W2", "host.minirun.internal")
        assert f"({gateway})" in done.stdout
    box.minirun("network", "rm", "named")


def test_a_bridge_with_all_its_ports_taken_is_told_of(host: Host) -> None:
    """Linux allows 1023 (BR_MAX_PORTS): here all but those of the first container and of the resolver are others'."""
    identity = host.minirun("network", "create", "full").stdout
    host.minirun("run", "-d", "--name", "first", "--net", "full", "busybox", "sleep", "1000")
    pairs = "".join(f"link add left{number} type veth peer name right{number}\n" for number in range(511))
    ends = [f"{side}{number}" for number in range(511) for side in ("left", "right")][:1021]  # down: no loop
    ports = "".join(f"link set {end} master mr-{identity[:10]}\n" for end in ends)
    host.run(["ip", "-batch", "-"], input=pairs + ports)
    before = Snapshot.of(host)
    done = host.minirun("run", "--net", "full", "busybox", "true", check=False)
    assert done.returncode == 125
    assert "network full is full: its bridge" in done.stderr
    assert "1023 ports, the kernel's limit" in done.stderr
    done = host.minirun("network", "connect", "full", "first", check=False)
    assert "already exists in network full" in done.stderr
    assert_same(host, before)
    host.sh(f"ip link del left0; {MINIRUN} run --rm --net full busybox true")


def test_the_last_of_many_costs_as_many_operations_as_the_first(primed: Host) -> None:
    """By every kernel operation of the command, the monitor and the first process together."""
    primed.minirun("network", "create", "net")
    primed.minirun("run", "-d", "--net", "net", "busybox", "sleep", "1000")
    words = ["run", "--rm", "--net", "net", "-p", "80", "busybox", "true"]
    first = count_operations(primed, words)
    for _ in range(30):
        primed.minirun("run", "-d", "--net", "net", "-p", "80", "busybox", "sleep", "1000")
    assert count_operations(primed, words) == first
