"""What a chain does with a packet that meets none of its conditions: real rules, read back from the kernel."""

import json
import sys

import pytest

from tests.harness import Host
from tests.harness.debian_packages import IPTABLES, overlay_packages

_HOOK = "type filter hook forward priority 0; policy"
_ASK = """
import json, sys
from minirun.network.firewall.foreign.verdicts import *
print(json.dumps([eval(line) for line in sys.stdin.read().splitlines()]))
"""
# Chain "pass" as nft(8) has it: (drops, the position of the rule that decides).
NFT = [
    ("policy accept;", False, None),
    ("policy drop;", True, None),
    ("policy accept; drop;", True, 0),
    ("policy accept; counter log drop;", True, 0),
    ("policy accept; ct state established accept; reject;", True, 1),
    ("policy accept; iifname eth0 drop; oifname eth1 reject;", False, None),
    ("policy drop; ct state established accept; accept;", False, 1),
    ("policy drop; log; counter; return; accept;", True, 2),
    ("policy accept; jump rejects; accept;", True, 0),
    ("policy drop; jump deep; tcp dport 80 accept;", True, 0),
    ("policy accept; iifname eth0 jump rejects;", False, None),
    ("policy drop; jump returns; jump empty;", True, None),
    ("policy accept; goto rejects; accept;", True, 0),
    ("policy drop; goto empty; accept;", True, 0),
    ("policy accept; jump accepts; drop;", False, 0),
    ("policy accept; jump goes; drop;", True, 1),
    ("policy accept; drop; drop;", True, 0),
]
_OTHERS = """
  chain rejects { counter; reject; }
  chain deep { jump rejects; }
  chain accepts { tcp dport 1 drop; accept; }
  chain returns { return; drop; }
  chain empty { }
  chain goes { goto empty; drop; }
  chain unused { }
"""
LEGACY = [
    ("", False, None),
    ("-P FORWARD DROP", True, None),
    ("-A FORWARD -j DROP", True, 0),
    ("-A FORWARD -i eth0 -j DROP", False, None),
    ("-A FORWARD -p tcp -j ACCEPT;-A FORWARD -j REJECT", True, 1),
    ("-P FORWARD DROP;-A FORWARD -j ACCEPT", False, 0),
    ("-P FORWARD DROP;-A FORWARD -j RETURN", True, 0),
    ("-N all;-A all -j DROP;-A FORWARD -j all", True, 0),
    ("-N all;-A all -j RETURN;-A FORWARD -j all;-A FORWARD -j DROP", True, 1),
    ("-N all;-A all -j DROP;-A FORWARD -s 10.0.0.1 -j all", False, None),
    ("-N all;-P FORWARD DROP;-A FORWARD -g all;-A FORWARD -j ACCEPT", True, 0),
    ('-A FORWARD -m comment --comment "-j DROP" -i eth0 -j DROP', False, None),
]


def ask(host: Host, *calls: str) -> list[object]:
    """The results of functions of the module, called in the host."""
    answer = host.run([sys.executable, "-c", _ASK], input="\n".join(calls))
    return json.loads(answer.stdout)  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def shared() -> Host:
    with Host() as host:
        overlay_packages(host, IPTABLES)
        yield host


@pytest.mark.parametrize(("rules", "drops", "end"), NFT, ids=[rules for rules, _, _ in NFT])
def test_nft(shared: Host, rules: str, drops: bool, end: int | None) -> None:
    policy, _, rest = rules.partition("; ")
    policy = policy.rstrip(";").removeprefix("policy ")
    text = f"table inet site {{{_OTHERS}\n chain pass {{ {_HOOK} {policy}; {rest} }} }}"
    text = text.replace("; ", ";\n").replace(" }", "\n}").replace("{ ", "{\n")
    shared.run(["nft", "-f", "-"], input=f"table inet site {{}}\ndelete table inet site\n{text}")
    call = f"nft_verdict('inet', 'site', 'pass', {policy == 'drop'}).__dict__"
    assert ask(shared, call) == [{"drops": drops, "end": end}]


@pytest.mark.parametrize(("rules", "drops", "end"), LEGACY, ids=[rules for rules, _, _ in LEGACY])
def test_legacy(shared: Host, rules: str, drops: bool, end: int | None) -> None:
    program = "iptables-legacy"
    reset = [f"{program} -P FORWARD ACCEPT", f"{program} -F", f"{program} -X"]
    shared.sh("; ".join([*reset, *(f"{program} {rule}" for rule in rules.split(";") if rule)]))
    assert ask(shared, "legacy_verdict('ip', 'FORWARD').__dict__") == [{"drops": drops, "end": end}]


def test_which_chains_are_reached(shared: Host) -> None:
    shared.sh(
        "for i in iptables iptables-legacy; do $i -F; $i -X; for c in A B C D; do $i -N $c; done;"
        " $i -A FORWARD -i eth0 -j A; $i -A A -j B; $i -A B -j A; $i -A FORWARD -j DROP; $i -A FORWARD -j C; done"
    )
    targets = {"A": True, "B": True, "C": False, "D": False, "FORWARD": True, "nosuch": False}
    reached = sorted(name for name, is_reached in targets.items() if is_reached)
    calls = ("sorted(nft_reached('ip', 'filter', 'FORWARD'))", "sorted(legacy_reached('ip', 'FORWARD'))")
    assert ask(shared, *calls) == [reached, reached]
