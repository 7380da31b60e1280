"""Which subnets and addresses are given out: the arithmetic, what is kept clear of, and the configuration."""

import json
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minirun import config
from minirun.config import AddressPool
from minirun.errors import MinirunError
from minirun.model import Endpoint, Network, Pool, PoolRequest
from minirun.network.ipam import allocator, foreign_subnets, subnets
from minirun.network.ipam.pools import Surroundings, choose4, choose6
from minirun.network.ipam.subnets import Claim, free_subnet
from minirun.store import Store
from tests.harness import Host
from tests.harness.host import MINIRUN
from tests.harness.packages import lay

SMALL = (AddressPool(IPv4Network("10.0.0.0/25"), 28), AddressPool(IPv4Network("10.1.0.0/29"), 30))


def claim(text: str, owner: str = "eth0") -> Claim[IPv4Network]:
    return Claim(IPv4Network(text), owner, f"{owner} uses")


def network(subnet: str = "10.0.0.0/29", **others: object) -> Network:
    whole = IPv4Network(subnet)
    return Network("n", "net", 0, pool=Pool(whole, whole[1], **others), bridge="mr-n")  # type: ignore[arg-type]


inside = st.builds(
    lambda number, size: IPv4Network((int(IPv4Address("10.0.0.0")) + number * 64, size), strict=False),
    st.integers(0, 2047),
    st.integers(16, 32),
)


@given(st.lists(inside, max_size=30))
@settings(max_examples=300, deadline=None)
def test_a_free_subnet_is_the_first_that_overlaps_nothing(taken: list[IPv4Network]) -> None:
    candidates = [subnet for pool in SMALL for subnet in pool.base.subnets(new_prefix=pool.size)]
    expected = next((one for one in candidates if not any(one.overlaps(other) for other in taken)), None)
    held = [Claim(one, "eth0", "eth0 uses") for one in taken]
    if expected is None:
        with pytest.raises(MinirunError, match=r"non-overlapping IPv4 address pool.*eth0 uses"):
            free_subnet(SMALL, held)
    else:
        assert free_subnet(SMALL, held) == expected


def test_five_hundred_networks_have_room_and_are_found_quickly() -> None:
    held: list[Claim[IPv4Network]] = [claim("172.16.0.0/14", "docker0"), claim("172.24.3.7/32")]
    started = time.monotonic()
    for number in range(500):
        held.append(claim(str(free_subnet(subnets.POOLS4, held)), f"network {number}"))
    assert time.monotonic() - started < 10  # 1 s here; with each against each it would be minutes
    made = [one.subnet for one in held[2:]]
    assert len(set(made)) == 500
    assert {one.prefixlen for one in made} == {22}
    assert all(not one.overlaps(other.subnet) for one in made for other in held[:2])


def test_exhaustion_says_who_holds_what() -> None:
    own = [Claim(one, f"network {one}", "minirun's networks use") for one in IPv4Network("10.0.0.0/26").subnets(2)]
    held = [*own, claim("10.0.0.64/26", "docker0"), claim("10.1.0.0/16", "tun0")]
    with pytest.raises(MinirunError) as raised:
        free_subnet(SMALL, held)
    assert "minirun's networks use 4 subnets, such as 10.0.0.0/28" in str(raised.value)
    assert "docker0 uses 10.0.0.64/26; tun0 uses 10.1.0.0/16" in str(raised.value)
    assert "--subnet" in raised.value.hint


def around(**others: object) -> Surroundings:
    values = {"config": config.Config(), "in_use": (), "written": (), **others}
    return Surroundings(**values)  # type: ignore[arg-type]


def test_a_wish_may_be_what_others_only_wrote_down_but_not_what_is_in_use() -> None:
    office = (IPv4Network("10.9.0.0/16"), "podman (office.json)")
    wish: PoolRequest[IPv4Network, IPv4Address] = PoolRequest(IPv4Network("10.9.1.0/24"))
    assert choose4(wish, [], around(written=(office,)), False).gateway == IPv4Address("10.9.1.1")
    with pytest.raises(MinirunError, match=r"which is used by podman \(office.json\)"):
        choose4(wish, [], around(in_use=(office,)), False)
    with pytest.raises(MinirunError, match="used by network net"):
        choose4(wish, [network("10.9.0.0/20")], around(), False)


def test_the_default_network_has_dockers_subnet_where_it_is_free() -> None:
    assert str(choose4(PoolRequest(), [], around(), True).subnet) == "172.17.0.0/16"
    assert str(choose4(PoolRequest(), [], around(), False).subnet) == "172.18.0.0/22"
    docker = (IPv4Network("172.17.0.0/16"), "docker0")
    assert str(choose4(PoolRequest(), [], around(in_use=(docker,)), True).subnet) == "172.18.0.0/22"


def test_ipv6_comes_from_a_private_prefix_that_follows_from_the_machine() -> None:
    one, other = subnets.private_pool6(b"a" * 32), subnets.private_pool6(b"b" * 32)
    assert one == subnets.private_pool6(b"a" * 32) != other
    assert one.base.subnet_of(IPv6Network("fd00::/8"))
    assert (one.base.prefixlen, one.size) == (48, 64)
    first = choose6(PoolRequest(), [], around())
    held = Network("n", "net", 0, pool6=first)
    second = choose6(
        PoolRequest(), [held], around(in_use=((IPv6Network((int(first.subnet[0]) + (1 << 64), 64)), "lan"),))
    )
    own = Path("/etc/machine-id")
    if own.exists() and len(own.read_bytes().strip()) == 32:
        assert int(second.subnet[0]) == int(first.subnet[0]) + (2 << 64)


# --- addresses


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path / "root")
    yield made
    made.close()


def free(store: Store, address: str) -> None:
    store.db.execute("delete from endpoints where address = ?", (int(IPv4Address(address)),))


def known(store: Store, net: Network) -> Network:
    store.add_network(net)
    return net


def test_addresses_go_round_and_never_twice(store: Store) -> None:
    net = known(store, network())
    given_out = [str(take(store, net, number)) for number in range(5)]
    assert given_out == [f"10.0.0.{n}" for n in range(2, 7)]
    with pytest.raises(MinirunError, match="no available IPv4 addresses"):
        take(store, net, 9)
    free(store, "10.0.0.3")
    assert str(take(store, net, 10)) == "10.0.0.3"
    free(store, "10.0.0.2")
    free(store, "10.0.0.5")
    assert str(take(store, net, 11)) == "10.0.0.5"  # not the one below, which was freed a moment ago
    assert str(take(store, net, 12)) == "10.0.0.2"


def take(store: Store, net: Network, number: int) -> IPv4Address:
    found = allocator.next_address(
        net, lambda low, high: store.first_free(net.id, low, high), store.last_address(net.id)
    )
    store.add_endpoint(Endpoint(f"sandbox{number}", 0, net.id, found))
    return found


def test_the_thousandth_address_costs_what_the_first_did(store: Store) -> None:
    net = known(store, network("10.0.0.0/22"))
    statements: list[str] = []
    store.db.set_trace_callback(statements.append)
    costs = []
    for number in range(1021):
        before = len(statements)
        take(store, net, number)
        costs.append(len(statements) - before)
    assert set(costs) == {costs[1]} | {costs[0]}
    assert max(costs) <= costs[1] + 1  # the gateway is passed over once
    with pytest.raises(MinirunError, match="all of them are in use"):
        take(store, net, 2000)


def test_only_the_range_is_given_out_and_nothing_that_is_reserved(store: Store) -> None:
    aux = (("router", IPv4Address("10.0.0.5")), ("printer", IPv4Address("10.0.0.6")))
    net = known(store, network("10.0.0.0/28", ip_range=IPv4Network("10.0.0.4/30"), aux=aux))
    assert [str(take(store, net, number)) for number in range(2)] == ["10.0.0.4", "10.0.0.7"]
    with pytest.raises(MinirunError, match=r"10\.0\.0\.4/30"):
        take(store, net, 3)
    outside = IPv4Address("10.0.0.9")
    assert allocator.check_address(net, outside, lambda _: False) == outside  # a chosen one may lie outside
    with pytest.raises(MinirunError, match="belongs to aux-address router"):
        allocator.check_address(net, aux[0][1], lambda _: False)


def test_an_ipv6_address_has_the_host_part_of_the_other_where_it_can() -> None:
    whole = IPv6Network("fd00::/64")
    net = Network("n", "net", 0, pool6=Pool(whole, whole[1]))
    assert allocator.next_address6(net, 9, lambda _: False) == whole[9]
    assert allocator.next_address6(net, 1, lambda one: one == whole[2]) == whole[3]
    part = Pool(whole, whole[1], IPv6Network("fd00::10/124"), (("a", whole[17]),))
    assert allocator.next_address6(Network("n", "net", 0, pool6=part), 33, lambda _: False) == IPv6Address("fd00::12")


# --- what others have written down


def test_networks_of_other_runtimes_are_read_from_their_files(tmp_path: Path) -> None:
    files = {
        "etc/containers/networks/web.json": {"subnets": [{"subnet": "10.89.0.0/24"}, {"subnet": "fd8::/64"}]},
        "etc/cni/net.d/10-a.conf": {"type": "bridge", "ipam": {"type": "host-local", "subnet": "10.22.0.0/16"}},
        "etc/cni/net.d/20-b.conflist": {
            "plugins": [{"ipam": {"ranges": [[{"subnet": "10.23.0.0/16", "rangeStart": "10.23.0.9"}]]}}]
        },
    }
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(json.dumps(content))
    libvirt = tmp_path / "etc/libvirt/qemu/networks"
    (libvirt / "autostart").mkdir(parents=True)
    (libvirt / "default.xml").write_text(
        "<network><name>default</name><ip address='192.168.122.1' netmask='255.255.255.0'/>"
        "<ip family='ipv6' address='fd7::1' prefix='64'/><route address='10.77.0.0' prefix='16'/></network>"
    )
    (libvirt / "broken.xml").write_text("<network>")
    os.mkfifo(tmp_path / "etc/cni/net.d/30-fifo.conf")  # nobody will write into it
    (tmp_path / "etc/cni/net.d/40-huge.conf").write_bytes(b" " * (1 << 20) + b'{"subnet": "10.1.0.0/16"}')
    (tmp_path / "etc/cni/net.d/50-gone.conf").symlink_to("nowhere")
    (tmp_path / "etc/cni/net.d/60-deep.conf").write_text("[" * 100000)
    found = {str(subnet): owner for subnet, owner in foreign_subnets.foreign_subnets(tmp_path)}
    assert found == {
        "10.88.0.0/16": "podman's default network",
        "10.89.0.0/24": "podman (web.json)",
        "fd8::/64": "podman (web.json)",
        "10.22.0.0/16": "CNI (10-a.conf)",
        "10.23.0.0/16": "CNI (20-b.conflist)",
        "192.168.122.0/24": "libvirt (default.xml)",
        "fd7::/64": "libvirt (default.xml)",
        "10.77.0.0/16": "libvirt (default.xml)",
    }


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.sampled_from(["10.0.0.0/8", "10.0.0.0/99", "fd00::/8"]),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["subnet", "ipam", "ranges"]), inner),
)


@given(st.binary() | json_like.map(lambda value: json.dumps(value).encode()))
def test_no_file_of_others_can_stop_minirun(text: bytes) -> None:
    for found in (foreign_subnets.subnets_in_json(text), foreign_subnets.subnets_in_xml(text)):
        assert all(isinstance(one, IPv4Network | IPv6Network) for one in found)


@given(st.text(), st.text(), st.sampled_from(["ip", "route", "x"]), st.binary(max_size=20))
def test_no_xml_of_others_can_stop_minirun(address: str, mask: str, tag: str, junk: bytes) -> None:
    from xml.sax.saxutils import quoteattr

    text = f"<n><{tag} address={quoteattr(address)} netmask={quoteattr(mask)}/></n>"
    foreign_subnets.subnets_in_xml(text.encode(errors="replace"))
    foreign_subnets.subnets_in_xml(b"<?xml version='1.0' encoding='" + junk + b"'?><n/>")


# --- the configuration


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "it is not JSON"),
        ("[]", "it is not a JSON object"),
        ('{"pools": []}', "unknown key 'pools'; the only key is 'default-address-pools'"),
        ('{"default-address-pools": {}}', "is not a list"),
        ('{"default-address-pools": ["10.0.0.0/8"]}', "is not of the form"),
        ('{"default-address-pools": [{"base": "10.0.0.0/8"}]}', "is not of the form"),
        (
            '{"default-address-pools": [{"base": "10.0.0.0/8", "size": true}]}',
            "base must be a string and size a number",
        ),
        ('{"default-address-pools": [{"base": "10.0.0.1/8", "size": 24}]}', "has host bits set"),
        ('{"default-address-pools": [{"base": "10.0.0.0/24", "size": 16}]}', "is not between 24 and 30"),
        ('{"default-address-pools": [{"base": "10.0.0.0/24", "size": 31}]}', "is not between 24 and 30"),
        ('{"default-address-pools": [{"base": "fd00::/48", "size": 127}]}', "is not between 48 and 126"),
    ],
)
def test_a_wrong_configuration_is_refused_and_the_file_named(
    text: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "config.json"
    file.write_text(text)
    monkeypatch.setenv(config.VARIABLE, str(file))
    with pytest.raises(MinirunError) as raised:
        config.load()
    assert says in str(raised.value)
    assert str(file) in str(raised.value)


@given(st.binary() | json_like.map(lambda value: json.dumps({config.POOLS: value}).encode()))
def test_any_configuration_is_read_or_refused(text: bytes) -> None:
    with suppress(MinirunError):
        config.parse(text, Path("x"))


# --- on a host


def subnets_of(host: Host, name: str) -> list[str]:
    found = json.loads(host.minirun("network", "inspect", name).stdout)[0]
    return [one["Subnet"] for one in found["IPAM"]["Config"]]


def test_networks_keep_clear_of_what_the_host_has(host: Host) -> None:
    lay(host)  # /etc is this host's own then
    host.sh(
        "ip link add lan type bridge; ip link set lan up; ip address add 172.18.0.77/32 dev lan;"
        " ip route add blackhole 172.18.4.0/24; ip route add 172.18.11.0/24 dev lan table 77;"
        " ip route add 0.0.0.0/1 dev lan; ip route add 128.0.0.0/1 dev lan;"
        " mkdir -p /etc/cni/net.d;"
        """ echo '{"ipam": {"subnet": "172.18.12.0/24"}}' > /etc/cni/net.d/1.conf"""
    )
    host.minirun("network", "create", "a")
    host.minirun("network", "create", "b", "--ipv6")
    assert subnets_of(host, "a") == ["172.18.16.0/22"]
    ipv4, ipv6 = subnets_of(host, "b")
    assert ipv4 == "172.18.20.0/22"
    assert IPv6Network(ipv6).subnet_of(IPv6Network("fd00::/8"))
    assert "inet 172.18.20.1/22" in host.sh("ip address")
    host.minirun("run", "--rm", "--net=a", "busybox", "true")
    assert subnets_of(host, "bridge") == ["172.17.0.0/16"]


def test_the_pools_are_configurable(host: Host) -> None:
    host.sh("mkdir -p /run/etc")
    host.run(["tee", "/run/etc/config.json"], input='{"default-address-pools": [{"base": "10.10.0.0/29", "size": 30}]}')
    there = ["env", f"{config.VARIABLE}=/run/etc/config.json"]

    def create(name: str) -> tuple[int, str]:
        done = host.run([*there, MINIRUN, "network", "create", name], check=False)
        return done.returncode, done.stderr

    assert create("a")[0] == create("b")[0] == 0
    assert subnets_of(host, "b") == ["10.10.0.4/30"]
    code, said = create("c")
    assert code == 1
    assert "of 10.10.0.0/29 minirun's networks use 2 subnets, such as 10.10.0.0/30" in said
    assert "c" not in host.minirun("network", "ls", "--format", "{{.Name}}").stdout.split()
