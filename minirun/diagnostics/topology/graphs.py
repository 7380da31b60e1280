"""The map for programs that draw graphs: Graphviz (https://graphviz.org/doc/info/lang.html) and Mermaid
(https://mermaid.js.org/syntax/flowchart.html)."""

from collections.abc import Iterator

from minirun.diagnostics.topology.data import Map, Plug, Switch, printed


def as_dot(found: Map) -> str:
    found = printed(found)
    lines = ["graph minirun {", "  rankdir=LR;", '  node [shape=box, fontname="sans-serif"];']
    lines.append(f"  host [label={_quoted(_lines(found.host, *found.uplinks))}, shape=house];")
    for number, switch in enumerate(found.switches):
        style = "" if switch.is_ours else ", style=dashed"
        lines.append(f"  s{number} [label={_quoted(_title(switch))}, shape=cylinder{style}];")
        if not switch.internal:
            lines.append(f"  host -- s{number};")
        for plug in switch.plugs:
            color = ", color=red" if plug.trouble else ""
            lines.append(
                f"  s{number} -- {_quoted(plug.owner or plug.outside)} [label={_quoted(_label(plug))}{color}];"
            )
    lines += [f"  {_quoted(one)} -- {_quoted(other)} [label={_quoted(label)}];" for one, other, label in _cables(found)]
    lines += [f"  host -- {_quoted(name)} [style=dotted];" for name in found.on_host]
    return "\n".join([*lines, "}"])


def as_mermaid(found: Map) -> str:
    found = printed(found)
    names: dict[str, str] = {}
    lines = ["flowchart LR", f'  host["{_html(found.host, *found.uplinks)}"]']
    for number, switch in enumerate(found.switches):
        lines.append(f'  s{number}[("{_html(*_title(switch).split(chr(10)))}")]')
        if not switch.internal:
            lines.append(f"  host --- s{number}")
        for plug in switch.plugs:
            node = _node(names, lines, plug.owner or plug.outside)
            label = _html(*_label(plug).split("\n"))
            lines.append(f'  s{number} ---|"{label}"| {node}' if label else f"  s{number} --- {node}")
    for one, other, label in _cables(found):
        lines.append(f'  {_node(names, lines, one)} ---|"{_html(label)}"| {_node(names, lines, other)}')
    lines += [f"  host -.- {_node(names, lines, name)}" for name in found.on_host]
    return "\n".join(lines)


def _title(switch: Switch) -> str:
    return _lines(switch.name, f"network {switch.network}" if switch.is_ours else "not minirun's", *switch.addresses)


def _label(plug: Plug) -> str:
    ports = [f"{port.host} > {port.inside}" for port in plug.ports]
    return _lines(*plug.addresses, *ports, *([plug.trouble] if plug.trouble else []))


def _cables(found: Map) -> Iterator[tuple[str, str, str]]:
    """Between namespaces, each once; and members of one stack."""
    seen: set[frozenset[str]] = set()
    for namespace in found.namespaces:
        for one, other in zip(namespace.members, namespace.members[1:], strict=False):
            if frozenset((one, other)) not in seen:
                seen.add(frozenset((one, other)))
                yield one, other, "one network stack"
        for plug in namespace.cables:
            ends = frozenset((f"{namespace.name} {plug.inside}", f"{plug.owner} {plug.outside}"))
            if plug.owner and ends not in seen:
                seen.add(ends)
                yield namespace.name, plug.owner, f"{plug.inside} - {plug.outside}"


def _node(names: dict[str, str], lines: list[str], name: str) -> str:
    """A node's own word, said at its first use: in Mermaid names may hold no dots and other signs."""
    if name not in names:
        names[name] = f"n{len(names)}"
        lines.append(f'  {names[name]}["{_html(name)}"]')
    return names[name]


def _lines(*words: str) -> str:
    return "\n".join(word for word in words if word)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _html(*words: str) -> str:
    signs = {"&": "#amp;", '"': "#quot;", "<": "#lt;", ">": "#gt;"}
    return "<br/>".join("".join(signs.get(sign, sign) for sign in word) for word in words if word)
