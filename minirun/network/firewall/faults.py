"""The rules of faults: which packets a cable loses, as chains of both tables, a pure function of the records.

Most are in the table of family bridge. There a container's end of a cable is known by the name of its veth, which stays
the same when the container starts again; frames between two containers on one bridge pass, with or without
br_netfilter; and IPv4 and IPv6 are one thing:

    fault_out      (prerouting)   what containers send, before the bridge takes it
    fault_in       (postrouting)  what the bridge sends to containers
    fault_between  (forward)      what goes from one port of a bridge to another: a partition

Two containers also reach each other through the host: by networks that they do not share, and by published ports. So a
partition has a chain `fault_between` in the table of family inet, which compares addresses, after DNAT and before
MASQUERADE.

ARP and neighbour discovery pass: a fault loses packets, and does not make the sender's kernel say "no route to host".
"""

from collections.abc import Iterable, Iterator, Sequence

from minirun.model import BOTH, INWARD, OUTWARD, Endpoint, Fault, FaultKind, Network

EndpointInNetwork = tuple[Endpoint, Network]
MARK = "fault "  # how the comment of each of these rules begins
_PRECISION = 100_000  # packets out of which `percent` are lost: three decimals
_SPARED = """    ether type != { ip, ip6 } accept
    icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept"""
_HOOKS = {
    "fault_out": "prerouting priority -290",  # after antispoof.py, whose reasons for a drop come first
    "fault_between": "forward priority -290",
    "fault_in": "postrouting priority 310",
}


def bridge_chains(faults: Sequence[Fault], pairs: Sequence[EndpointInNetwork]) -> list[str]:
    """Return the chains of the table of family bridge; none without a fault that has rules.

    pairs: all endpoints with their networks
    """
    rules: dict[str, list[str]] = {chain: [] for chain in _HOOKS}
    for fault in faults:
        for chain, rule in _bridge_rules(fault, pairs):
            rules[chain].append(f"    {rule} counter drop {_comment(fault)}")
    return [_chain(chain, hook, [_SPARED, *rules[chain]]) for chain, hook in _HOOKS.items() if rules[chain]]


def inet_chains(faults: Sequence[Fault], pairs: Sequence[EndpointInNetwork]) -> list[str]:
    """Return the chain of the table of family inet; none without a partition of two running containers."""
    rules = [
        f"    {rule} counter drop {_comment(fault)}"
        for fault in faults
        if fault.kind is FaultKind.PARTITION
        for rule in _between_addresses(*sides(fault, pairs))
    ]
    return [_chain("fault_between", "forward priority -10", rules)] if rules else []


def targets(fault: Fault, pairs: Iterable[EndpointInNetwork]) -> list[EndpointInNetwork]:
    """Return the endpoints whose cables have the fault."""
    first, second = sides(fault, pairs)
    return [*first, *second]


def sides(fault: Fault, pairs: Iterable[EndpointInNetwork]) -> tuple[list[EndpointInNetwork], list[EndpointInNetwork]]:
    """Return the endpoints of the container, or of the whole network; and of a partition those of the other one."""
    chosen = [pair for pair in pairs if fault.network in ("", pair[0].network)]
    first = [pair for pair in chosen if fault.container in ("", pair[0].sandbox)]
    return first, [pair for pair in chosen if fault.peer and pair[0].sandbox == fault.peer]


def _bridge_rules(fault: Fault, pairs: Sequence[EndpointInNetwork]) -> Iterator[tuple[str, str]]:
    """Yield (chain, match) of each rule."""
    first, second = (_names(side) for side in sides(fault, pairs))
    if fault.kind is FaultKind.PARTITION:
        if first and second:
            yield "fault_between", f"iifname {first} oifname {second}"
            yield "fault_between", f"iifname {second} oifname {first}"
        return
    if not first or fault.kind not in (FaultKind.LOSS, FaultKind.BLACKHOLE):
        return
    for chain, direction, link, port in (
        ("fault_out", OUTWARD, "iifname", "sport"),
        ("fault_in", INWARD, "oifname", "dport"),
    ):
        if fault.direction in (BOTH, direction):
            for match in _matches(fault, port):
                yield chain, f"{link} {first} {match}".rstrip()


def _matches(fault: Fault, port: str) -> Iterator[str]:
    """Yield what packets of a cable a rule of the fault means."""
    if fault.kind is FaultKind.LOSS:
        lost = round(fault.percent * _PRECISION / 100)
        yield f"numgen random mod {_PRECISION} < {lost}" if lost < _PRECISION else ""
        return
    if not fault.ports:
        yield ""
    for protocol in sorted({protocol for _, protocol in fault.ports}):
        numbers = sorted({number for number, each in fault.ports if each == protocol})
        yield f"{protocol} {port} {{ {', '.join(map(str, numbers))} }}"


def _between_addresses(first: list[EndpointInNetwork], second: list[EndpointInNetwork]) -> Iterator[str]:
    for ip, field in (("ip", "address"), ("ip6", "address6")):
        one, other = (
            ", ".join(sorted({str(address) for pair in side if (address := getattr(pair[0], field))}))
            for side in (first, second)
        )
        if one and other:
            yield f"{ip} saddr {{ {one} }} {ip} daddr {{ {other} }}"
            yield f"{ip} saddr {{ {other} }} {ip} daddr {{ {one} }}"


def _names(side: list[EndpointInNetwork]) -> str:
    names = sorted(f'"{endpoint.veth}"' for endpoint, _ in side)
    return f"{{ {', '.join(names)} }}" if names else ""


def _comment(fault: Fault) -> str:
    """Name the fault and whose it is, by short ids as in the elements of the sets."""
    whose = " ".join(each[:12] for each in (fault.container, fault.peer) if each) or f"network {fault.network[:12]}"
    return f'comment "{MARK}{fault.id}: {fault.kind!s} of {whose}"'


def _chain(name: str, hook: str, rules: Iterable[str]) -> str:
    body = "\n".join([f"    type filter hook {hook}; policy accept;", *rules])
    return f"\n  chain {name} {{\n{body}\n  }}"
