"""The tables are a pure function of the records: golden text, and what the kernel makes of it."""

import os
import re
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path

import pytest

from minirun.kernel.nft_elements import SetElement
from minirun.model import Endpoint, Network, Pool, PortMapping, Publication
from minirun.network.firewall import antispoof, rules
from minirun.network.firewall.policy import Policy
from minirun.network.firewall.tables import render
from tests.harness import Host
from tests.harness.host import MINIRUN, REPO

KINDS = {"inet": rules.KINDS, "bridge": antispoof.KINDS}
GOLDEN = Path(__file__).with_name("golden")
BRIDGE = "com.docker.network.bridge."
DEFAULT = Network(
    "a" * 64, "bridge", 0, pool=Pool(IPv4Network("172.17.0.0/16"), IPv4Address("172.17.0.1")), bridge="minirun0"
)
CUSTOM = Network(
    "b" * 64, "db", 0, pool=Pool(IPv4Network("10.1.0.0/24"), IPv4Address("10.1.0.1")), bridge="mr-bbbbbbbbbb"
)
SIX = replace(CUSTOM, pool6=Pool(IPv6Network("fd01::/64"), IPv6Address("fd01::1")))
WEB = Publication("c" * 64, "c" * 64, PortMapping(80, 8080), IPv4Address("172.17.0.2"))
LOCAL = Publication("d" * 64, "d" * 64, PortMapping(53, 5353, "udp", IPv4Address("127.0.0.1")), IPv4Address("10.1.0.2"))
MEMBER = Endpoint("d" * 64, 0, CUSTOM.id, IPv4Address("10.1.0.2"), IPv6Address("fd01::2"))
SECOND = Endpoint("d" * 64, 1, DEFAULT.id, IPv4Address("172.17.0.2"))


def published(text: str, target: str) -> Publication:
    """8000-8009:9000/udp, at an address or none: as a record of the member's."""
    at, first, count, inside, protocol = text.split()
    address = IPv6Address(at) if ":" in at else IPv4Address(at)
    mapping = PortMapping(int(inside), int(first), protocol, address, int(count))
    return Publication("d" * 64, "d" * 64, mapping, IPv6Address(target) if ":" in target else IPv4Address(target))


def with_options(network: Network, **options: str) -> Network:
    return replace(network, options=tuple((BRIDGE + key, text) for key, text in options.items()))


FOUR = published("0.0.0.0 8080 1 80 tcp", "10.1.0.2")
PORTS6 = [published(":: 8080 1 80 tcp", "fd01::2"), published("::1 5353 1 53 udp", "fd01::2")]
RANGES = [
    published("0.0.0.0 49152 16384 49152 udp", "10.1.0.2"),  # one element
    published("192.0.2.1 8000 3 8000 tcp", "10.1.0.2"),
    published(":: 8000 3 8000 tcp", "fd01::2"),
    published("fd99::1 9000 3 9000 udp", "fd01::2"),
    published("0.0.0.0 7000 2 6000 tcp", "10.1.0.2"),  # not the same inside: one for each port
]
BOTH = [FOUR, *PORTS6[:1]]
CASES: dict[str, tuple[list[Network], list[Publication], list[Endpoint]]] = {
    "empty": ([], [], []),
    "default": ([DEFAULT], [], []),
    "published": ([DEFAULT], [WEB], [Endpoint("c" * 64, 0, DEFAULT.id, IPv4Address("172.17.0.2"))]),
    "two-networks": ([DEFAULT, CUSTOM], [WEB, LOCAL], []),
    "ipv6": ([SIX], [FOUR, *PORTS6], [MEMBER]),
    "ranges": ([SIX], RANGES, [MEMBER]),
    "internal": ([replace(SIX, internal=True)], [], [MEMBER]),
    "isolated": (
        [replace(with_options(SIX, gateway_mode_ipv4="isolated", gateway_mode_ipv6="isolated"), internal=True)],
        [],
        [MEMBER],
    ),
    "icc-off": ([with_options(SIX, enable_icc="false")], [FOUR], [MEMBER]),
    "masquerade-off": ([with_options(SIX, enable_ip_masquerade="false")], BOTH, [MEMBER]),
    "routed": ([with_options(SIX, gateway_mode_ipv4="routed", gateway_mode_ipv6="routed")], BOTH, [MEMBER]),
    "routed-overlapping": (
        [with_options(SIX, gateway_mode_ipv4="routed")],
        [FOUR, published("0.0.0.0 9000 9 78 tcp", "10.1.0.2"), published("127.0.0.1 80 1 80 tcp", "10.1.0.2")],
        [MEMBER],
    ),
    "nat-unprotected": (
        [with_options(SIX, gateway_mode_ipv4="nat-unprotected", gateway_mode_ipv6="nat-unprotected")],
        BOTH,
        [MEMBER],
    ),
    "trusted": ([with_options(SIX, trusted_host_interfaces="wg0:tun0")], [*BOTH, *RANGES[:1]], [MEMBER]),
    "two-legs": ([DEFAULT, SIX], [FOUR], [MEMBER, SECOND]),
    "antispoof-off": ([replace(CUSTOM, options=(("minirun.antispoof", "false"),))], [], [MEMBER]),
}


@pytest.fixture(scope="module")
def kernel() -> Iterator[Host]:
    with Host() as host:
        yield host


@pytest.mark.parametrize("case", list(CASES))
def test_golden_text(case: str) -> None:
    """After a wanted change: UPDATE_GOLDEN=1 pytest tests/unit/network/test_firewall.py, and read the difference."""
    text = render("minirun", *CASES[case])
    path = GOLDEN / f"{case}.nft"
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text)
    assert text == path.read_text()


@pytest.mark.parametrize("case", list(CASES))
def test_the_kernel_takes_it_twice(kernel: Host, case: str) -> None:
    text = render("minirun", *CASES[case])
    kernel.run(["nft", "-f", "-"], input=text)
    once = kernel.sh("nft list ruleset")
    kernel.run(["nft", "-f", "-"], input=text)
    assert kernel.sh("nft list ruleset") == once
    assert "table inet minirun" in once
    assert "table bridge minirun" in once


@pytest.mark.parametrize("as_text", [False, True])
@pytest.mark.parametrize("case", list(CASES))
def test_single_elements_say_the_same_as_the_whole_text(kernel: Host, case: str, as_text: bool) -> None:
    """Taken out and put back one by one: what a start and an end do. A key that the kernel does not know fails here,
    and would be hidden elsewhere, because then everything is rendered."""
    networks, ports, endpoints = CASES[case]
    kernel.run(["nft", "-f", "-"], input=render("minirun", networks, ports, endpoints))
    nets = {net.id: net for net in networks}
    policy = Policy.of(networks[-1]) if networks else Policy()
    legs = [(end, nets[end.network]) for end in endpoints]
    elements = [one for end, net in legs for one in antispoof.elements_of(end, net)]
    elements += rules.elements_of_kin(legs)
    elements += rules.elements_of_open(port for port in ports if policy.opens(port.target))
    elements += [one for port in ports for one in rules.elements_of_port(port, policy)]
    whole = kernel.sh("nft list ruleset")
    inside = [one.in_table("minirun", KINDS[one.family]) for one in elements]
    _changed(kernel, "elements_del", inside, as_text)
    bare = kernel.sh("nft list ruleset")
    assert not re.search(r"cccccccccccc|dddddddddddd|10\.1\.0\.2|172\.17\.0\.2|fd01::2|vethd", bare)
    assert (bare == whole) == (not elements)
    _changed(kernel, "elements_add", inside, as_text)
    assert kernel.sh("nft list ruleset") == whole


def _changed(kernel: Host, how: str, elements: list[SetElement], as_text: bool) -> None:
    """By what minirun sends to the kernel, or by nft with the words that minirun says are the same."""
    if as_text:
        lines = [one.added if how == "elements_add" else one.deleted for one in elements]
        kernel.run(["nft", "-f", "-"], input="".join(f"{line}\n" for line in lines))
        return
    script = f"""
import ast, sys
from minirun.kernel.nft_elements import SetElement, {how}
{how}([SetElement(*one) for one in ast.literal_eval(sys.stdin.read())])
"""
    python = str(Path(MINIRUN).with_name("python"))
    kernel.run([python, "-c", script], cwd=REPO, input=repr([tuple(one) for one in elements]))


def test_a_refused_element_leaves_nothing_of_its_transaction(kernel: Host) -> None:
    kernel.run(["nft", "-f", "-"], input=render("minirun", [DEFAULT], [], []))
    before = kernel.sh("nft list ruleset")
    good = rules.bridge_element(replace(DEFAULT, bridge="other")).in_table("minirun", rules.KINDS)
    for bad in (
        good._replace(key='"third"', value="jump into_nowhere"),
        good._replace(name="none"),
        good._replace(table="none"),
        good._replace(key='"minirun0"', value="jump from_minirun0"),  # another value is there
    ):
        with pytest.raises(AssertionError, match="NftError"):
            _changed(kernel, "elements_add", [good, bad], as_text=False)
        with pytest.raises(AssertionError, match=r"NftError.*No such file"):
            _changed(kernel, "elements_del", [good], as_text=False)
        assert kernel.sh("nft list ruleset") == before


def test_a_thousand_elements_are_one_transaction(kernel: Host) -> None:
    kernel.run(["nft", "-f", "-"], input=render("minirun", [DEFAULT], [], []))
    before = kernel.sh("nft list ruleset")
    ports = [published(f"0.0.0.0 {port} 1 80 tcp", "172.17.0.2") for port in range(10000, 12000)]
    elements = [one for port in ports for one in rules.elements_of_port(port, Policy())]
    inside = [one.in_table("minirun", rules.KINDS) for one in elements]
    _changed(kernel, "elements_add", inside, as_text=False)
    assert len(re.findall(r"(?:tcp|6) \. 1[01]\d\d\d comment", kernel.sh("nft list ruleset"))) == 2000
    _changed(kernel, "elements_add", inside, as_text=False)  # what is there already is fine
    _changed(kernel, "elements_del", inside, as_text=False)
    assert kernel.sh("nft list ruleset") == before


def test_order_of_records_does_not_matter() -> None:
    assert render("t", [DEFAULT], [WEB, LOCAL]) == render("t", [DEFAULT], [LOCAL, WEB])


def test_foreign_rules_stay_byte_identical(host: Host) -> None:
    host.run(
        ["nft", "-f", "-"],
        input="table ip mine {\n chain c {\n type filter hook forward priority 0; policy accept;\n }\n}\n",
    )
    before = host.sh("nft list table ip mine")
    host.minirun("run", "--rm", "-p", "8080:80", "busybox", "true")
    host.minirun("network", "create", "db")
    host.minirun("network", "rm", "db")
    assert host.sh("nft list table ip mine") == before
