"""Parsers: tables of cases, and hostile input, which gives one sentence and never a traceback."""

import json
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minirun.errors import MinirunError
from minirun.model import ANY_ADDRESS, ANY_ADDRESS6, Attachment, Mode, Mount, NetworkRequest, PortMapping
from minirun.options import environment, mount_csv, mounts, networks, pools, ports, values
from minirun.options.values import parse_signal

LOCAL = IPv4Address("127.0.0.1")


PORTS = {
    "80": PortMapping(80),
    "8080:80": PortMapping(80, 8080),
    "8080:80/udp": PortMapping(80, 8080, "udp"),
    "8080:80/TCP": PortMapping(80, 8080),
    "127.0.0.1:8080:80": PortMapping(80, 8080, "tcp", LOCAL),
    "127.0.0.1::80": PortMapping(80, 0, "tcp", LOCAL),
    ":8080:80": PortMapping(80, 8080),
    "0:80": PortMapping(80),
    "8000-8002:9000-9002": PortMapping(9000, 8000, count=3),
    "8000-8000:80": PortMapping(80, 8000),
    "8000-8010:80": PortMapping(80, 8000, host_last=8010),
    "1-2/udp": PortMapping(1, 0, "udp", count=2),
    "49152-65535:49152-65535/udp": PortMapping(49152, 49152, "udp", count=16384),
    "65535:1": PortMapping(1, 65535),
    "38412:38412/SCTP": PortMapping(38412, 38412, "sctp"),
    "0.0.0.0:8080:80": PortMapping(80, 8080, "tcp", ANY_ADDRESS),
    "[::1]:8080:80": PortMapping(80, 8080, "tcp", IPv6Address("::1")),
    "[::]::80/udp": PortMapping(80, 0, "udp", ANY_ADDRESS6),
    "2001:db8::1:8080:80": PortMapping(80, 8080, "tcp", IPv6Address("2001:db8::1")),
}


WRONG_PORTS = {
    "8000-8001:80-82": "Invalid ranges specified for container and host Ports: 80-82 and 8000-8001",
    "8010-8000:80": "Invalid hostPort: 8010-8000",
    "80-70": "Invalid containerPort: 80-70",
    "65536": "Invalid containerPort: 65536",
    "0": "Invalid containerPort: 0",
    "70000:80": "Invalid hostPort: 70000",
    "80/dccp": "Invalid proto: dccp",
    "8080:": "No port specified: 8080:<empty>",
    "localhost:80:80": "Invalid ip address: localhost",
    "[::1:80:80": "Invalid ip address: [::1",
    "[fe80::1%eth0]:80:80": "Invalid ip address: [fe80::1%eth0]",
}


@pytest.mark.parametrize("text", list(PORTS))
def test_ports(text: str) -> None:
    assert ports.parse_port(text) == PORTS[text]


@pytest.mark.parametrize("text", list(WRONG_PORTS))
def test_wrong_ports(text: str) -> None:
    with pytest.raises(MinirunError) as raised:
        ports.parse_port(text)
    assert raised.value.message.startswith(WRONG_PORTS[text])


ADDRESSES = st.one_of(st.none(), st.ip_addresses(v=4), st.ip_addresses(v=6))


@settings(max_examples=200, deadline=None)
@given(ADDRESSES, st.integers(1, 65535), st.integers(0, 65535), st.integers(1, 65535), st.sampled_from(["tcp", "udp"]))
def test_a_mapping_says_itself(
    address: IPv4Address | IPv6Address | None, inside: int, outside: int, count: int, protocol: str
) -> None:
    """What is written in the words of -p is read back as it was, and survives the record."""
    count = min(count, 65536 - max(inside, outside))
    mapping = PortMapping(inside, outside, protocol, address, count)
    place = f"{mapping.host}:" if address else ""
    outside_text = f"{outside}-{mapping.last_port}" if outside else ""
    assert ports.parse_port(f"{place}{outside_text}:{inside}-{inside + count - 1}/{protocol}") == mapping
    assert PortMapping.from_dict(json.loads(json.dumps(mapping.to_dict()))) == mapping
    if outside:
        assert ports.parse_host_port(f"{place}{outside_text}/{protocol}") == replace(mapping, container_port=1)


@pytest.mark.parametrize("text", ["", "8080", "80-82", "127.0.0.1:80", "80:80", "/udp", "80/icmp"])
def test_a_private_port_is_one_port(text: str) -> None:
    if text == "8080":
        assert ports.parse_container_port(text) == (8080, "tcp")
        return
    with pytest.raises(MinirunError):
        ports.parse_container_port(text)


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ([], NetworkRequest()),
        (["bridge"], NetworkRequest()),
        (["default"], NetworkRequest()),
        (["host"], NetworkRequest(Mode.HOST, ())),
        (["none"], NetworkRequest(Mode.NONE, ())),
        (["container:web"], NetworkRequest(Mode.CONTAINER, (), "web")),
        (
            ['name=db,"driver-opt=a=b,c=d",driver-opt=e=,alias=x,gw-priority=-3'],
            NetworkRequest(
                Mode.BRIDGE,
                (Attachment("db", aliases=("x",), priority=-3, driver_options=(("a", "b,c=d"), ("e", ""))),),
            ),
        ),
        (["db", "front"], NetworkRequest(Mode.BRIDGE, (Attachment("db"), Attachment("front")))),
    ],
)
def test_networks(texts: list[str], expected: NetworkRequest) -> None:
    assert networks.parse_network(texts) == expected


_SYSCTLS = "com.docker.network.endpoint.sysctls"
_IFNAME = "com.docker.network.endpoint.ifname"


@pytest.mark.parametrize(
    ("texts", "says"),
    [
        (["name=db,driver-opt=a"], "invalid key value pair format in driver options: a"),
        ([f"name=db,driver-opt={_SYSCTLS}=net.ipv4.conf.eth0.x=1"], "sysctl 'net.ipv4.conf.eth0.x=1'; represent"),
        ([f"name=db,driver-opt={_SYSCTLS}=net.core.x.IFNAME.y=1"], "unrecognised network interface sysctl"),
        ([f"name=db,driver-opt={_SYSCTLS}=net.ipv4.conf.IFNAME.x"], "unrecognised network interface sysctl"),
        ([f"name=db,driver-opt={_IFNAME}=a/b"], "invalid interface name 'a/b'"),
        ([f"name=db,driver-opt={_IFNAME}={'x' * 16}"], "invalid interface name"),
        ([f"name=db,driver-opt={_IFNAME}=lo"], "invalid interface name 'lo'"),
        ([f"name=a,driver-opt={_IFNAME}=x", f"name=b,driver-opt={_IFNAME}=x"], "two interfaces of the name x"),
        (["name=host,driver-opt=a=b"], "invalid config for network host: there is no endpoint for driver-opt"),
        (["name=none,ip=10.0.0.9"], "invalid config for network none: --ip needs a network"),
        (["name=host,alias=x"], "network-scoped aliases are only supported for user-defined networks"),
        (["name=container:x,mac-address=02:00:00:00:00:09"], "mac-address and the network mode"),
    ],
)
def test_networks_that_cannot_be(texts: list[str], says: str) -> None:
    with pytest.raises(MinirunError) as raised:
        networks.parse_network(texts)
    assert says in raised.value.message
    assert raised.value.code == 125


def test_volumes() -> None:
    assert mounts.parse_volume("/a:/b") == Mount("bind", "/a", "/b")
    assert mounts.parse_volume("/a b:/b/../c:ro") == Mount("bind", "/a b", "/c", True, modes="ro")


@pytest.mark.parametrize(("text", "number"), [("KILL", 9), ("SIGTERM", 15), ("sigint", 2), ("1", 1)])
def test_signals(text: str, number: int) -> None:
    assert parse_signal(text) == number


PARSERS = [
    ports.parse_port,
    ports.parse_host_port,
    ports.parse_container_port,
    mounts.parse_volume,
    mount_csv.parse_mount,
    mounts.parse_tmpfs,
    mounts.parse_volumes_from,
    values.check_name,
    values.check_hostname,
    networks.parse_attachment,
    lambda text: pools.parse_pools(pools.PoolOptions((text,), (text,), (text,), (text,)), True),
    lambda text: pools.parse_driver_options([text]),
    networks.check_alias,
    parse_signal,
    lambda text: environment.parse_env([text]),
    lambda text: networks.parse_network([text]),
]


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(PARSERS), st.one_of(st.text(), st.from_regex(r"[0-9.:/\-]{1,20}")))
def test_hostile_words_give_a_sentence(parser: object, text: str) -> None:
    message = ""
    try:
        parser(text)  # type: ignore[operator]
    except MinirunError as error:
        message = error.message
    assert message.isprintable()


@settings(max_examples=200, deadline=None)
@given(st.text())
def test_a_name_that_passes_is_safe_in_paths_and_rules(name: str) -> None:
    try:
        values.check_name(name)
    except MinirunError:
        return
    assert not set(name) & set("/ \n\t\"'\\$;{}")
    assert name not in (".", "..")
