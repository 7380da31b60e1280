"""The kernel takes the tables and their single elements, and leaves the tables of others alone."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from minirun.kernel.nft_elements import SetElement
from minirun.network.firewall import antispoof
from minirun.network.firewall.elements import (
    INET_SETS,
    bridge_element,
    elements_of_open,
    elements_of_other_bridges,
    elements_of_port,
)
from minirun.network.firewall.policy import Policy
from minirun.network.firewall.tables import render
from tests.harness import Host
from tests.harness.host import MINIRUN, REPO
from tests.unit.network.firewall_cases import CASES, DEFAULT, SETS, published


@pytest.fixture(scope="module")
def kernel() -> Iterator[Host]:
    with Host() as host:
        yield host


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
    """Remove and add back single elements, as a stop and a start do.

    A malformed key fails here; elsewhere the fallback to a full rendering would hide it.
    """
    networks, ports, endpoints = CASES[case]
    kernel.run(["nft", "-f", "-"], input=render("minirun", networks, ports, endpoints))
    nets = {net.id: net for net in networks}
    policy = Policy.of(networks[-1]) if networks else Policy()
    pairs = [(end, nets[end.network]) for end in endpoints]
    elements = [element for end, net in pairs for element in antispoof.elements_of(end, net)]
    elements += elements_of_other_bridges(pairs)
    elements += elements_of_open(port for port in ports if policy.opens(port.target))
    elements += [element for port in ports for element in elements_of_port(port, policy)]
    whole = kernel.sh("nft list ruleset")
    changes = [element.in_table("minirun", SETS[element.family]) for element in elements]
    _changed(kernel, "elements_del", changes, as_text)
    bare = kernel.sh("nft list ruleset")
    assert not re.search(r"cccccccccccc|dddddddddddd|10\.1\.0\.2|172\.17\.0\.2|fd01::2|vethd", bare)
    assert (bare == whole) == (not elements)
    _changed(kernel, "elements_add", changes, as_text)
    assert kernel.sh("nft list ruleset") == whole


def _changed(kernel: Host, how: str, elements: list[SetElement], as_text: bool) -> None:
    """Change elements by netlink as minirun does, or by nft with the command that --explain shows."""
    if as_text:
        lines = [element.added if how == "elements_add" else element.deleted for element in elements]
        kernel.run(["nft", "-f", "-"], input="".join(f"{line}\n" for line in lines))
        return
    script = f"""
import ast, sys
from minirun.kernel.nft_elements import SetElement, {how}
{how}([SetElement(*one) for one in ast.literal_eval(sys.stdin.read())])
"""
    python = str(Path(MINIRUN).with_name("python"))
    kernel.run([python, "-c", script], cwd=REPO, input=repr([tuple(element) for element in elements]))


def test_a_refused_element_leaves_nothing_of_its_transaction(kernel: Host) -> None:
    kernel.run(["nft", "-f", "-"], input=render("minirun", [DEFAULT], [], []))
    before = kernel.sh("nft list ruleset")
    good = bridge_element(replace(DEFAULT, bridge="other")).in_table("minirun", INET_SETS)
    for bad in (
        good._replace(key='"third"', value="jump into_nowhere"),
        good._replace(name="missing"),
        good._replace(table="missing"),
        good._replace(key='"minirun0"', value="jump from_minirun0"),  # the key has another value
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
    elements = [element for port in ports for element in elements_of_port(port, Policy())]
    changes = [element.in_table("minirun", INET_SETS) for element in elements]
    _changed(kernel, "elements_add", changes, as_text=False)
    assert len(re.findall(r"(?:tcp|6) \. 1[01]\d\d\d comment", kernel.sh("nft list ruleset"))) == 2000
    _changed(kernel, "elements_add", changes, as_text=False)  # adding an existing element succeeds
    _changed(kernel, "elements_del", changes, as_text=False)
    assert kernel.sh("nft list ruleset") == before


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
