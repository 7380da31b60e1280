"""The choice of subnets and addresses: the first free one, never twice, never one that others use."""

import time
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minirun import config
from minirun.config import AddressPool
from minirun.errors import MinirunError
from minirun.model import Endpoint, Network, Pool, PoolRequest
from minirun.network.ipam import allocator, subnets
from minirun.network.ipam.pools import HostSubnets, choose4, choose6
from minirun.network.ipam.subnets import Claim, free_subnet
from minirun.store import Store

SMALL = (AddressPool(IPv4Network("10.0.0.0/25"), 28), AddressPool(IPv4Network("10.1.0.0/29"), 30))


def claim(text: str, owner: str = "eth0") -> Claim[IPv4Network]:
    return Claim(IPv4Network(text), owner, f"{owner} uses")


def network(subnet: str = "10.0.0.0/29", **others: object) -> Network:
    whole = IPv4Network(subnet)
    return Network("n", "net", 0, pool=Pool(whole, whole[1], **others), bridge="mr-n")  # type: ignore[arg-type]


overlapping_subnets = st.builds(
    lambda number, size: IPv4Network((int(IPv4Address("10.0.0.0")) + number * 64, size), strict=False),
    st.integers(0, 2047),
    st.integers(16, 32),
)


@given(st.lists(overlapping_subnets, max_size=30))
@settings(max_examples=300, deadline=None)
def test_a_free_subnet_is_the_first_that_overlaps_nothing(taken: list[IPv4Network]) -> None:
    candidates = [subnet for pool in SMALL for subnet in pool.base.subnets(new_prefix=pool.size)]
    expected = next((subnet for subnet in candidates if not any(subnet.overlaps(other) for other in taken)), None)
    held = [Claim(subnet, "eth0", "eth0 uses") for subnet in taken]
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
    assert time.monotonic() - started < 10  # 1 s when idle; comparing each subnet with each would take minutes
    chosen = [claimed.subnet for claimed in held[2:]]
    assert len(set(chosen)) == 500
    assert {subnet.prefixlen for subnet in chosen} == {22}
    assert all(not subnet.overlaps(other.subnet) for subnet in chosen for other in held[:2])


def test_exhaustion_says_who_holds_what() -> None:
    own = [Claim(one, f"network {one}", "minirun's networks use") for one in IPv4Network("10.0.0.0/26").subnets(2)]
    held = [*own, claim("10.0.0.64/26", "docker0"), claim("10.1.0.0/16", "tun0")]
    with pytest.raises(MinirunError) as raised:
        free_subnet(SMALL, held)
    assert "minirun's networks use 4 subnets, such as 10.0.0.0/28" in str(raised.value)
    assert "docker0 uses 10.0.0.64/26; tun0 uses 10.1.0.0/16" in str(raised.value)
    assert "--subnet" in raised.value.hint


def host_subnets(**others: object) -> HostSubnets:
    values = {"config": config.Config(), "in_use": (), "configured": (), **others}
    return HostSubnets(**values)  # type: ignore[arg-type]


def test_a_requested_subnet_may_be_configured_elsewhere_but_not_in_use() -> None:
    office = (IPv4Network("10.9.0.0/16"), "podman (office.json)")
    request: PoolRequest[IPv4Network, IPv4Address] = PoolRequest(IPv4Network("10.9.1.0/24"))
    assert choose4(request, [], host_subnets(configured=(office,)), False).gateway == IPv4Address("10.9.1.1")
    with pytest.raises(MinirunError, match=r"which is used by podman \(office.json\)"):
        choose4(request, [], host_subnets(in_use=(office,)), False)
    with pytest.raises(MinirunError, match="used by network net"):
        choose4(request, [network("10.9.0.0/20")], host_subnets(), False)


def test_the_default_network_has_dockers_subnet_where_it_is_free() -> None:
    assert str(choose4(PoolRequest(), [], host_subnets(), True).subnet) == "172.17.0.0/16"
    assert str(choose4(PoolRequest(), [], host_subnets(), False).subnet) == "172.18.0.0/22"
    docker = (IPv4Network("172.17.0.0/16"), "docker0")
    assert str(choose4(PoolRequest(), [], host_subnets(in_use=(docker,)), True).subnet) == "172.18.0.0/22"


def test_ipv6_comes_from_a_private_prefix_that_follows_from_the_machine() -> None:
    one, other = subnets.private_pool6(b"a" * 32), subnets.private_pool6(b"b" * 32)
    assert one == subnets.private_pool6(b"a" * 32) != other
    assert one.base.subnet_of(IPv6Network("fd00::/8"))
    assert (one.base.prefixlen, one.size) == (48, 64)
    first = choose6(PoolRequest(), [], host_subnets())
    held = Network("n", "net", 0, pool6=first)
    second = choose6(
        PoolRequest(), [held], host_subnets(in_use=((IPv6Network((int(first.subnet[0]) + (1 << 64), 64)), "lan"),))
    )
    own = Path("/etc/machine-id")
    if own.exists() and len(own.read_bytes().strip()) == 32:
        assert int(second.subnet[0]) == int(first.subnet[0]) + (2 << 64)


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
