"""The map as a picture: the host is a frame, bridges are bars in it, containers stand above their bridges, and what is
published is a socket at the frame's lower edge (https://www.w3.org/TR/SVG2/)."""

from collections.abc import Iterable
from dataclasses import dataclass
from xml.sax.saxutils import escape

from minirun.diagnostics.topology.data import Map, Plug, Switch, printed

_BOX, _GAP, _BAR, _TOP, _LINE = 190, 24, 46, 96, 16  # points
_BOX_HEIGHT, _CABLE, _MARGIN = 84, 64, 28
_STYLE = """
  text { font: 12px system-ui, sans-serif; fill: #1f2933 }
  .name { font-weight: 600; font-size: 14px } .small { font-size: 11px; fill: #52606d }
  .mono { font: 11px ui-monospace, monospace; fill: #334e68 }
  .host { fill: #f8fafc; stroke: #9aa5b1; stroke-width: 1.5 } .box { fill: #fff; stroke: #2680c2; stroke-width: 1.5 }
  .bar { fill: #e3f8ff; stroke: #2680c2; stroke-width: 1.5 } .cable { stroke: #2680c2; stroke-width: 2 }
  .foreign { fill: #f0f4f8; stroke: #9aa5b1; stroke-dasharray: 5 4 } .plug { fill: #2680c2 }
  .port { fill: #fffbea; stroke: #cb6e17; stroke-width: 1.5 } .way { stroke: #cb6e17; stroke-width: 1.5; fill: none }
  .trouble { stroke: #d64545 } .told { fill: #d64545 }
"""


@dataclass
class _Canvas:
    """Shapes, in the order in which they are painted."""

    shapes: list[str]

    def rect(self, x: float, y: float, width: float, height: float, kind: str, radius: int = 8) -> None:
        self.shapes.append(
            f'<rect class="{kind}" x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="{radius}"/>'
        )

    def line(self, x: float, y: float, to_x: float, to_y: float, kind: str) -> None:
        self.shapes.append(f'<line class="{kind}" x1="{x:g}" y1="{y:g}" x2="{to_x:g}" y2="{to_y:g}"/>')

    def text(self, x: float, y: float, words: str, kind: str = "", middle: bool = False) -> None:
        anchor = ' text-anchor="middle"' if middle else ""
        self.shapes.append(f'<text class="{kind}" x="{x:g}" y="{y:g}"{anchor}>{escape(words)}</text>')

    def dot(self, x: float, y: float) -> None:
        self.shapes.append(f'<circle class="plug" cx="{x:g}" cy="{y:g}" r="4"/>')


def as_svg(found: Map) -> str:
    """One row of containers and bar for each bridge, one below the other; then the rest in a row."""
    found = printed(found)
    canvas = _Canvas([])
    rows = [one for one in found.switches if one.plugs or one.is_ours]
    rest = _rest(found)
    widest = max([len(_boxes(one)) for one in rows] + [min(len(rest), 4), 2])
    width = 2 * _MARGIN + widest * (_BOX + _GAP) - _GAP
    y: float = _TOP
    for switch in rows:
        y = _draw_switch(canvas, switch, y, width)
    if rest:
        y = _draw_rest(canvas, rest, y, widest)
    height = y + _MARGIN
    frame = _Canvas([])
    frame.rect(8, 8, width - 16, height - 16, "host", 14)
    frame.text(_MARGIN, 40, found.host, "name")
    for number, uplink in enumerate(found.uplinks):
        frame.text(_MARGIN, 60 + number * _LINE, uplink, "mono")
    size = f'width="{width:g}" height="{height:g}" viewBox="0 0 {width:g} {height:g}"'
    label = escape(f"minirun map of {found.host}", {'"': "&quot;"})
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="{label}">'
    return "\n".join([head, f"<style>{_STYLE}</style>", *frame.shapes, *canvas.shapes, "</svg>"])


def _boxes(switch: Switch) -> list[Plug]:
    return [plug for plug in switch.plugs if plug.owner != "resolver"]


def _draw_switch(canvas: _Canvas, switch: Switch, y: float, width: float) -> float:
    """Returns where the next row begins."""
    plugs = _boxes(switch)
    most = max((len(plug.ports) for plug in plugs), default=0)
    bar = y + (_BOX_HEIGHT + _CABLE if plugs else 0)
    for number, plug in enumerate(plugs):
        x = _MARGIN + number * (_BOX + _GAP)
        _draw_box(canvas, plug, x, y, bar)
        if plug.ports:
            canvas.line(x + _BOX / 2, bar + _BAR, x + _BOX / 2, bar + _BAR + 26, "way")
        for place, port in enumerate(plug.ports):
            at = bar + _BAR + 26 + place * 24
            canvas.rect(x + 10, at, _BOX - 20, 24, "port", 5)
            canvas.text(x + _BOX / 2, at + 16, f"{port.host} → {port.inside}", "mono", True)
    canvas.rect(_MARGIN, bar, width - 2 * _MARGIN, _BAR, "bar" if switch.is_ours else "bar foreign")
    what = f"network {switch.network}" if switch.is_ours else "not minirun's"
    canvas.text(_MARGIN + 14, bar + 20, switch.name, "name")
    told = [what, *(["internal"] if switch.internal else []), *switch.addresses, switch.trouble]
    canvas.text(_MARGIN + 14, bar + 37, " · ".join(word for word in told if word), "mono")
    return bar + _BAR + most * 24 + (26 if most else 0) + 34


def _draw_box(canvas: _Canvas, plug: Plug, x: float, y: float, bar: float) -> None:
    broken = " trouble" if plug.trouble else ""
    middle = x + _BOX / 2
    canvas.line(middle, y + _BOX_HEIGHT, middle, bar, f"cable{broken}")
    canvas.rect(x, y, _BOX, _BOX_HEIGHT, f"box{broken}")
    canvas.text(middle, y + 22, plug.owner or plug.outside, "name", True)
    for number, words in enumerate([*plug.addresses[:2], plug.mac][:3]):
        canvas.text(middle, y + 40 + number * 15, words, "mono", True)
    canvas.dot(middle, y + _BOX_HEIGHT)
    canvas.dot(middle, bar)
    canvas.text(middle + 9, y + _BOX_HEIGHT + 20, plug.inside, "small")
    canvas.text(middle + 9, bar - 10, plug.outside, "small")
    if plug.trouble:
        canvas.text(middle + 9, y + _BOX_HEIGHT + 36, plug.trouble, "told")


def _rest(found: Map) -> list[tuple[str, list[str]]]:
    """What stands at no bridge: (name, what is to be said of it)."""
    boxes = []
    told: set[tuple[str, ...]] = set()
    for one in found.namespaces:
        if len(one.members) > 1 and one.members not in told:
            told.add(one.members)
            boxes.append((" + ".join(one.members), ["one network stack"]))
        if not one.members:
            boxes.append((one.name, [_said(plug) for plug in one.cables] or ["no cables"]))
    boxes += [(name, ["the host's own network"]) for name in found.on_host]
    plugged = {plug.owner for plug in found.plugs()}
    alone = [
        one.name for one in found.namespaces if len(one.members) == 1 and not one.cables and one.name not in plugged
    ]
    return boxes + [(name, ["no network"]) for name in alone]


def _said(plug: Plug) -> str:
    return f"{plug.inside} — {plug.owner}" if plug.owner else plug.inside


def _draw_rest(canvas: _Canvas, rest: Iterable[tuple[str, list[str]]], y: float, widest: int) -> float:
    bottom = y
    for number, (name, words) in enumerate(rest):
        x = _MARGIN + number % widest * (_BOX + _GAP)
        top = y + number // widest * (_BOX_HEIGHT + _GAP)
        canvas.rect(x, top, _BOX, _BOX_HEIGHT, "box")
        canvas.text(x + _BOX / 2, top + 24, name, "name", True)
        for line, word in enumerate(words[:3]):
            canvas.text(x + _BOX / 2, top + 43 + line * 15, word, "mono", True)
        bottom = max(bottom, top + _BOX_HEIGHT)
    return bottom + 10
