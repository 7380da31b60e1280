"""Render the topology as a picture: the host is a frame, bridges are bars in it, containers are boxes above their
bridge, published ports are boxes below it (https://www.w3.org/TR/SVG2/)."""

from dataclasses import dataclass
from xml.sax.saxutils import escape

from minirun.diagnostics.topology.data import Bridge, Link, Topology, without_control_characters
from minirun.diagnostics.topology.survey import DNS_SERVER

# Sizes in points.
_BOX_WIDTH, _BOX_HEIGHT, _GAP, _BAR_HEIGHT = 190, 84, 24, 46
_LINK_LENGTH, _TOP, _LINE_HEIGHT, _MARGIN = 64, 96, 16, 28
_PORT_HEIGHT, _PORT_LINE = 24, 26
_STYLE = """
  text { font: 12px system-ui, sans-serif; fill: #1f2933 }
  .name { font-weight: 600; font-size: 14px } .small { font-size: 11px; fill: #52606d }
  .mono { font: 11px ui-monospace, monospace; fill: #334e68 }
  .host { fill: #f8fafc; stroke: #9aa5b1; stroke-width: 1.5 } .box { fill: #fff; stroke: #2680c2; stroke-width: 1.5 }
  .bar { fill: #e3f8ff; stroke: #2680c2; stroke-width: 1.5 } .link { stroke: #2680c2; stroke-width: 2 }
  .foreign { fill: #f0f4f8; stroke: #9aa5b1; stroke-dasharray: 5 4 } .end { fill: #2680c2 }
  .port { fill: #fffbea; stroke: #cb6e17; stroke-width: 1.5 } .way { stroke: #cb6e17; stroke-width: 1.5; fill: none }
  .problem { stroke: #d64545 } .problem-text { fill: #d64545 }
"""
_Box = tuple[str, list[str]]  # title, lines


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

    def text(self, x: float, y: float, text: str, kind: str = "", middle: bool = False) -> None:
        anchor = ' text-anchor="middle"' if middle else ""
        self.shapes.append(f'<text class="{kind}" x="{x:g}" y="{y:g}"{anchor}>{escape(text)}</text>')

    def dot(self, x: float, y: float) -> None:
        self.shapes.append(f'<circle class="end" cx="{x:g}" cy="{y:g}" r="4"/>')


def as_svg(topology: Topology) -> str:
    """Render one row for each bridge, with its containers; then a last row for what is attached to no bridge."""
    topology = without_control_characters(topology)
    canvas = _Canvas([])
    bridges = [bridge for bridge in topology.bridges if bridge.members or bridge.is_ours]
    unattached = _unattached_boxes(topology)
    columns = max([len(_containers(bridge)) for bridge in bridges] + [min(len(unattached), 4), 2])
    width = 2 * _MARGIN + columns * (_BOX_WIDTH + _GAP) - _GAP
    y: float = _TOP
    for bridge in bridges:
        y = _draw_bridge(canvas, bridge, y, width)
    if unattached:
        y = _draw_unattached(canvas, unattached, y, columns)
    height = y + _MARGIN
    frame = _Canvas([])
    frame.rect(8, 8, width - 16, height - 16, "host", 14)
    frame.text(_MARGIN, 40, topology.host, "name")
    for number, uplink in enumerate(topology.uplinks):
        frame.text(_MARGIN, 60 + number * _LINE_HEIGHT, uplink, "mono")
    size = f'width="{width:g}" height="{height:g}" viewBox="0 0 {width:g} {height:g}"'
    label = escape(f"minirun map of {topology.host}", {'"': "&quot;"})
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="{label}">'
    return "\n".join([head, f"<style>{_STYLE}</style>", *frame.shapes, *canvas.shapes, "</svg>"])


def _containers(bridge: Bridge) -> list[Link]:
    return [link for link in bridge.members if link.owner != DNS_SERVER]


def _draw_bridge(canvas: _Canvas, bridge: Bridge, y: float, width: float) -> float:
    """Draw a bridge with its containers and ports; return where the next row begins."""
    links = _containers(bridge)
    bar = y + (_BOX_HEIGHT + _LINK_LENGTH if links else 0)
    for number, link in enumerate(links):
        x = _MARGIN + number * (_BOX_WIDTH + _GAP)
        _draw_container(canvas, link, x, y, bar)
        _draw_ports(canvas, link, x, bar + _BAR_HEIGHT)
    canvas.rect(_MARGIN, bar, width - 2 * _MARGIN, _BAR_HEIGHT, "bar" if bridge.is_ours else "bar foreign")
    network = f"network {bridge.network}" if bridge.is_ours else "not minirun's"
    canvas.text(_MARGIN + 14, bar + 20, bridge.name, "name")
    details = [network, *(["internal"] if bridge.internal else []), *bridge.addresses, bridge.problem]
    canvas.text(_MARGIN + 14, bar + 37, " · ".join(detail for detail in details if detail), "mono")
    ports = max((len(link.ports) for link in links), default=0)
    return bar + _BAR_HEIGHT + ports * _PORT_HEIGHT + (_PORT_LINE if ports else 0) + 34


def _draw_container(canvas: _Canvas, link: Link, x: float, y: float, bar: float) -> None:
    kind = " problem" if link.problem else ""
    middle, bottom = x + _BOX_WIDTH / 2, y + _BOX_HEIGHT
    canvas.line(middle, bottom, middle, bar, f"link{kind}")
    canvas.rect(x, y, _BOX_WIDTH, _BOX_HEIGHT, f"box{kind}")
    canvas.text(middle, y + 22, link.owner or link.outside, "name", True)
    for number, text in enumerate([*link.addresses[:2], link.mac][:3]):
        canvas.text(middle, y + 40 + number * 15, text, "mono", True)
    canvas.dot(middle, bottom)
    canvas.dot(middle, bar)
    canvas.text(middle + 9, bottom + 20, link.inside, "small")
    canvas.text(middle + 9, bar - 10, link.outside, "small")
    if link.problem:
        canvas.text(middle + 9, bottom + 36, link.problem, "problem-text")


def _draw_ports(canvas: _Canvas, link: Link, x: float, y: float) -> None:
    middle, top = x + _BOX_WIDTH / 2, y + _PORT_LINE
    if link.ports:
        canvas.line(middle, y, middle, top, "way")
    for number, port in enumerate(link.ports):
        canvas.rect(x + 10, top + number * _PORT_HEIGHT, _BOX_WIDTH - 20, _PORT_HEIGHT, "port", 5)
        text = f"{port.host} → {port.container_port}"
        canvas.text(middle, top + number * _PORT_HEIGHT + 16, text, "mono", True)


def _unattached_boxes(topology: Topology) -> list[_Box]:
    """Describe namespaces and containers that are attached to no bridge, and shared namespaces."""
    boxes: list[_Box] = []
    shared: set[tuple[str, ...]] = set()
    for namespace in topology.namespaces:
        if len(namespace.containers) > 1 and namespace.containers not in shared:
            shared.add(namespace.containers)
            boxes.append((" + ".join(namespace.containers), ["one network stack"]))
        if not namespace.containers:
            ends = [f"{link.inside} — {link.owner}" if link.owner else link.inside for link in namespace.links]
            boxes.append((namespace.name, ends or ["no links"]))
    boxes += [(name, ["the host's network"]) for name in topology.on_host]
    attached = {link.owner for link in topology.links()}
    for namespace in topology.namespaces:
        if len(namespace.containers) == 1 and not namespace.links and namespace.name not in attached:
            boxes.append((namespace.name, ["no network"]))
    return boxes


def _draw_unattached(canvas: _Canvas, boxes: list[_Box], y: float, columns: int) -> float:
    """Draw boxes in rows; return where they end."""
    for number, (title, lines) in enumerate(boxes):
        x = _MARGIN + number % columns * (_BOX_WIDTH + _GAP)
        top = y + number // columns * (_BOX_HEIGHT + _GAP)
        canvas.rect(x, top, _BOX_WIDTH, _BOX_HEIGHT, "box")
        canvas.text(x + _BOX_WIDTH / 2, top + 24, title, "name", True)
        for line, text in enumerate(lines[:3]):
            canvas.text(x + _BOX_WIDTH / 2, top + 43 + line * 15, text, "mono", True)
    rows = (len(boxes) - 1) // columns + 1
    return y + rows * (_BOX_HEIGHT + _GAP) - _GAP + 10
