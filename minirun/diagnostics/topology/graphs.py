"""Render the topology for Graphviz (https://graphviz.org/doc/info/lang.html) and Mermaid
(https://mermaid.js.org/syntax/flowchart.html)."""

from collections.abc import Iterator

from minirun.diagnostics.topology.data import Bridge, Link, Topology, without_control_characters


def as_dot(topology: Topology) -> str:
    """Render the topology as an undirected Graphviz graph."""
    topology = without_control_characters(topology)
    lines = ["graph minirun {", "  rankdir=LR;", '  node [shape=box, fontname="sans-serif"];']
    lines.append(f"  host [label={_quoted(_lines(topology.host, *topology.uplinks))}, shape=house];")
    for number, bridge in enumerate(topology.bridges):
        style = "" if bridge.is_ours else ", style=dashed"
        lines.append(f"  s{number} [label={_quoted(_bridge_label(bridge))}, shape=cylinder{style}];")
        if not bridge.internal:
            lines.append(f"  host -- s{number};")
        for link in bridge.members:
            color = ", color=red" if link.problem else ""
            owner = _quoted(link.owner or link.outside)
            lines.append(f"  s{number} -- {owner} [label={_quoted(_link_label(link))}{color}];")
    for first, second, label in _pairs(topology):
        lines.append(f"  {_quoted(first)} -- {_quoted(second)} [label={_quoted(label)}];")
    lines += [f"  host -- {_quoted(name)} [style=dotted];" for name in topology.on_host]
    return "\n".join([*lines, "}"])


def as_mermaid(topology: Topology) -> str:
    """Render the topology as a Mermaid flowchart."""
    topology = without_control_characters(topology)
    ids: dict[str, str] = {}
    lines = ["flowchart LR", f'  host["{_html(topology.host, *topology.uplinks)}"]']
    for number, bridge in enumerate(topology.bridges):
        lines.append(f'  s{number}[("{_html(*_bridge_label(bridge).split(chr(10)))}")]')
        if not bridge.internal:
            lines.append(f"  host --- s{number}")
        for link in bridge.members:
            node = _node(ids, lines, link.owner or link.outside)
            label = _html(*_link_label(link).split("\n"))
            lines.append(f'  s{number} ---|"{label}"| {node}' if label else f"  s{number} --- {node}")
    for first, second, label in _pairs(topology):
        lines.append(f'  {_node(ids, lines, first)} ---|"{_html(label)}"| {_node(ids, lines, second)}')
    lines += [f"  host -.- {_node(ids, lines, name)}" for name in topology.on_host]
    return "\n".join(lines)


def _bridge_label(bridge: Bridge) -> str:
    return _lines(bridge.name, bridge.label, *bridge.addresses)


def _link_label(link: Link) -> str:
    ports = [f"{port.host} > {port.container_port}" for port in link.ports]
    return _lines(*link.addresses, *ports, *([link.problem] if link.problem else []))


def _pairs(topology: Topology) -> Iterator[tuple[str, str, str]]:
    """Return (node, node, label) of containers that share a namespace, and of links between namespaces; each once."""
    seen: set[frozenset[str]] = set()
    for namespace in topology.namespaces:
        for first, second in zip(namespace.containers, namespace.containers[1:], strict=False):
            if frozenset((first, second)) not in seen:
                seen.add(frozenset((first, second)))
                yield first, second, "one network stack"
        for link in namespace.links:
            ends = frozenset((f"{namespace.name} {link.inside}", f"{link.owner} {link.outside}"))
            if link.owner and ends not in seen:
                seen.add(ends)
                yield namespace.name, link.owner, f"{link.inside} - {link.outside}"


def _node(ids: dict[str, str], lines: list[str], name: str) -> str:
    """Return the id of a node, and declare the node at its first use: ids in Mermaid allow only plain characters."""
    if name not in ids:
        ids[name] = f"n{len(ids)}"
        lines.append(f'  {ids[name]}["{_html(name)}"]')
    return ids[name]


def _lines(*texts: str) -> str:
    return "\n".join(text for text in texts if text)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _html(*texts: str) -> str:
    entities = {"&": "#amp;", '"': "#quot;", "<": "#lt;", ">": "#gt;"}
    return "<br/>".join("".join(entities.get(letter, letter) for letter in text) for text in texts if text)
