"""The map as text: each bridge with what is plugged into it, then what is plugged into none."""

from collections.abc import Iterator

from minirun.diagnostics.topology.data import Map, Plug, Rules, Switch, printed

Row = tuple[str, str, str, str, str, str]
HEADERS = ("NETWORK", "BRIDGE", "CABLE", "OWNER", "ADDRESSES", "PORTS")


def as_tree(found: Map, color: bool) -> str:
    found = printed(found)
    paint = _Paint(color)
    lines = [paint.bold(f"host {found.host}") + "".join(f"  {one}" for one in found.uplinks)]
    for switch in found.switches:
        lines += ["", *_switch(switch, paint)]
    others = [*_namespaces(found, paint)]
    if found.on_host:
        others.append(f"{paint.bold('host network')}  {', '.join(found.on_host)}")
    if others:
        lines += ["", *others]
    if found.rules:
        lines += ["", *(_rules(one, paint) for one in found.rules)]
    if found.troubles:
        lines += ["", paint.red("Trouble"), *(f"  {one}" for one in found.troubles)]
        lines.append("  minirun network reload mends what is minirun's")
    return "\n".join(lines)


def _rules(rules: Rules, paint: "_Paint") -> str:
    drops = f"  {paint.red('drops by policy')}: {', '.join(rules.drops)}" if rules.drops else ""
    return f"rules {rules.name}  {rules.owner}{drops}"


def _switch(switch: Switch, paint: "_Paint") -> Iterator[str]:
    what = f"network {switch.network}" if switch.is_ours else "not minirun's"
    if switch.is_ours and switch.kind != "bridge":
        what += f", {switch.kind}"
    if switch.internal:
        what += ", internal"
    state = "" if switch.up or not switch.plugs else "  " + paint.red("down")
    name = paint.bold(switch.name) if switch.is_ours else switch.name
    yield "  ".join([name, what, *switch.addresses]) + state
    for at, plug in enumerate(switch.plugs):
        last = at == len(switch.plugs) - 1
        yield f"{'└' if last else '├'}─ {_plug(plug, paint)}"
        for port in plug.ports:
            yield f"{' ' if last else '│'}     {port.host} → {port.inside}"


def _plug(plug: Plug, paint: "_Paint") -> str:
    if not plug.inside:
        return f"{plug.outside} ── {plug.owner or '?'}"
    ends = f"{plug.outside} ── {plug.inside}" if plug.outside else plug.inside
    words = [ends, paint.bold(plug.owner), *plug.addresses, plug.mac]
    if plug.gateway:
        words.append(f"via {plug.gateway}")
    if plug.trouble:
        words.append(paint.red(plug.trouble))
    return "  ".join(word for word in words if word)


def _namespaces(found: Map, paint: "_Paint") -> Iterator[str]:
    """Those of containers are with their bridges already, unless there is more to say of them."""
    told: set[tuple[str, ...]] = set()
    plugged = {plug.netns for plug in found.plugs()}
    for one in found.namespaces:
        if len(one.members) > 1 and one.members not in told:
            told.add(one.members)
            yield f"{paint.bold(' + '.join(one.members))}  share one network stack"
        for plug in one.cables:
            yield f"{paint.bold(one.name)}  {_cable(plug)}"
        if not one.members and not one.cables and one.name not in plugged:
            yield f"{paint.bold(one.name)}  a namespace without cables"


def _cable(plug: Plug) -> str:
    words = " ".join([plug.inside, *plug.addresses])
    return f"{words} ── {plug.outside} {plug.owner}" if plug.outside else words


def rows(found: Map) -> list[Row]:
    """For a table: a line for each cable."""
    lines = []
    for switch in found.switches:
        for plug in switch.plugs:
            cable = " - ".join(word for word in (plug.outside, plug.inside) if word)
            ports = ", ".join(f"{port.host}->{port.inside}" for port in plug.ports)
            network = switch.network or "-"
            lines.append((network, switch.name, cable, plug.owner, " ".join(plug.addresses), ports))
    return lines


class _Paint:
    def __init__(self, color: bool) -> None:
        self._color = color

    def bold(self, text: str) -> str:
        return f"\033[1m{text}\033[0m" if self._color else text

    def red(self, text: str) -> str:
        return f"\033[31m{text}\033[0m" if self._color else text
