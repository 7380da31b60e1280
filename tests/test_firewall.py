"""The table is a pure function of the records: golden text, and what the kernel makes of it."""

import os
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from minirun.model import Network, Pool, PortMapping, Publication
from minirun.network.firewall import render
from tests.harness import Host

GOLDEN = Path(__file__).with_name("golden")
DEFAULT = Network(
    "a" * 64, "bridge", 0, pool=Pool(IPv4Network("172.17.0.0/16"), IPv4Address("172.17.0.1")), bridge="minirun0"
)
CUSTOM = Network(
    "b" * 64, "db", 0, pool=Pool(IPv4Network("10.1.0.0/24"), IPv4Address("10.1.0.1")), bridge="mr-bbbbbbbbbb"
)
WEB = Publication("c" * 64, "c" * 64, PortMapping(80, 8080), IPv4Address("172.17.0.2"))
LOCAL = Publication("d" * 64, "d" * 64, PortMapping(53, 5353, "udp", IPv4Address("127.0.0.1")), IPv4Address("10.1.0.2"))
CASES = {
    "empty": ([], []),
    "default": ([DEFAULT], []),
    "published": ([DEFAULT], [WEB]),
    "two-networks": ([DEFAULT, CUSTOM], [WEB, LOCAL]),
}


@pytest.mark.parametrize("case", list(CASES))
def test_golden_text(case: str) -> None:
    """After a wanted change: UPDATE_GOLDEN=1 pytest tests/test_firewall.py, and read the difference."""
    networks, ports = CASES[case]
    text = render("minirun", networks, ports)
    path = GOLDEN / f"{case}.nft"
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text)
    assert text == path.read_text()


@pytest.mark.parametrize("case", list(CASES))
def test_the_kernel_takes_it_twice(host: Host, case: str) -> None:
    networks, ports = CASES[case]
    text = render("minirun", networks, ports)
    host.run(["nft", "-f", "-"], input=text)
    once = host.sh("nft list ruleset")
    host.run(["nft", "-f", "-"], input=text)
    assert host.sh("nft list ruleset") == once
    assert "table inet minirun" in once


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
