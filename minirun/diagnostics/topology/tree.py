"""Render the topology as text: bridges with their links, then what is attached to no bridge, then tables of rules."""

from collections.abc import Iterator
from typing import TypeAlias

from minirun.diagnostics.topology.data import Bridge, Link, Rules, Topology, without_control_characters

_ASCII = str.maketrans({"└": "`", "├": "|", "│": "|", "─": "-", "→": "->"})
Row: TypeAlias = tuple[str, str, str, str, str, str]
HEADERS = ("NETWORK", "BRIDGE", "VETH", "OWNER", "ADDRESSES", "PORTS")


def as_tree(topology: Topology, color: bool) -> str:
    """Render the topology as a tree, with its problems at the end."""
    topology = without_control_characters(topology)
    style = _Style(color)
    lines = [style.bold(f"host {topology.host}") + "".join(f"  {uplink}" for uplink in topology.uplinks)]
    for bridge in topology.bridges:
        lines += ["", *_bridge_lines(bridge, style)]
    unattached = [*_unattached_lines(topology, style)]
    if topology.on_host:
        unattached.append(f"{style.bold('host network')}  {', '.join(topology.on_host)}")
    if unattached:
        lines += ["", *unattached]
    if topology.rules:
        lines += ["", *(_rules_line(rules, style) for rules in topology.rules)]
    if topology.problems:
        lines += ["", style.red("Problems"), *(f"  {problem}" for problem in topology.problems)]
        lines.append("  minirun network reload repairs what minirun created")
    return "\n".join(lines)


def without_box_drawing(text: str) -> str:
    """Return the text in ASCII, for a terminal that has nothing else; other letters become escapes."""
    return text.translate(_ASCII).encode("ascii", "backslashreplace").decode()


def as_rows(topology: Topology) -> list[Row]:
    """Return a table row, as in HEADERS, for each link of a bridge."""
    rows = []
    for bridge in topology.bridges:
        for link in bridge.members:
            veth = " - ".join(name for name in (link.outside, link.inside) if name)
            ports = ", ".join(f"{port.host}->{port.container_port}" for port in link.ports)
            network = bridge.network or "-"
            rows.append((network, bridge.name, veth, link.owner, " ".join(link.addresses), ports))
    return rows


def _rules_line(rules: Rules, style: "_Style") -> str:
    drops = f"  {style.red('drops by policy')}: {', '.join(rules.drops)}" if rules.drops else ""
    return f"rules {rules.name}  {rules.owner}{drops}"


def _bridge_lines(bridge: Bridge, style: "_Style") -> Iterator[str]:
    network = bridge.label
    if bridge.is_ours and bridge.kind != "bridge":
        network += f", {bridge.kind}"
    if bridge.internal:
        network += ", internal"
    state = "" if bridge.up or not bridge.members else "  " + style.red("down")
    name = style.bold(bridge.name) if bridge.is_ours else bridge.name
    yield "  ".join([name, network, *bridge.addresses]) + state
    for number, link in enumerate(bridge.members, 1):
        is_last = number == len(bridge.members)
        yield f"{'└' if is_last else '├'}─ {_member_line(link, style)}"
        for port in link.ports:
            yield f"{' ' if is_last else '│'}     {port.host} → {port.container_port}"
        for fault in link.faults:
            yield f"{' ' if is_last else '│'}     {style.red(fault)}"


def _member_line(link: Link, style: "_Style") -> str:
    if not link.inside:
        return f"{link.outside} ── {link.owner or '?'}"
    ends = f"{link.outside} ── {link.inside}" if link.outside else link.inside
    words = [ends, style.bold(link.owner), *link.addresses, link.mac]
    if link.gateway:
        words.append(f"via {link.gateway}")
    if link.problem:
        words.append(style.red(link.problem))
    return "  ".join(word for word in words if word)


def _unattached_lines(topology: Topology, style: "_Style") -> Iterator[str]:
    """Describe shared namespaces, links between namespaces, and namespaces without links. Other namespaces of
    containers are shown with their bridges."""
    shared: set[tuple[str, ...]] = set()
    attached = {link.netns for link in topology.links()}
    for namespace in topology.namespaces:
        if len(namespace.containers) > 1 and namespace.containers not in shared:
            shared.add(namespace.containers)
            yield f"{style.bold(' + '.join(namespace.containers))}  share one network stack"
        for link in namespace.links:
            yield f"{style.bold(namespace.name)}  {_link_line(link)}"
        if len(namespace.containers) == 1 and not namespace.links and namespace.name not in attached:
            yield f"{style.bold('no network')}  {namespace.name}"
        if not namespace.containers and not namespace.links and namespace.name not in attached:
            yield f"{style.bold(namespace.name)}  a namespace without links"


def _link_line(link: Link) -> str:
    end = " ".join([link.inside, *link.addresses])
    return f"{end} ── {link.outside} {link.owner}" if link.outside else end


class _Style:
    """Terminal colors, or none."""

    def __init__(self, color: bool) -> None:
        self._color = color

    def bold(self, text: str) -> str:
        return f"\033[1m{text}\033[0m" if self._color else text

    def red(self, text: str) -> str:
        return f"\033[31m{text}\033[0m" if self._color else text
