"""Render the topology as a picture, for any page: it has its own background, fonts of the system, and nothing else.

From the top: other hosts, the host's uplinks, the host as the router between them and the bridges. Each bridge is a
vertical line with its name above; each container is a row, from whose box a line leads to each of its bridges.
Published ports are on its left.
"""

from minirun.diagnostics.topology.canvas import SMALL_SIZE, Canvas, attribute, width_of
from minirun.diagnostics.topology.data import Bridge, Link, Topology, without_control_characters
from minirun.diagnostics.topology.nodes import OTHER, SERVER, Node, nodes_of

_MARGIN, _PADDING = 16, 20
_BOX, _PORT_ROOM, _FIRST_LINK, _COLUMN = 190, 254, 194, 210
_HEADER, _HEADER_HEIGHT, _ROUTER_HEIGHT, _WIRE = 192, 78, 44, 46
_UPLINK, _UPLINK_HEIGHT = 210, 46
_LINK_ROW, _LINK_ROW6, _PORT_ROW, _LEAST_ROW, _GAP, _MATE_GAP = 36, 48, 22, 58, 16, 10
_MOST_PORTS = 8
_COLORS = ("#2563a8", "#0f7b5f", "#8a4fb3", "#b3541e", "#a8275f", "#4d6b0f")
_FOREIGN, _OTHER_ROOT = "#6b7785", "#5b5f97"
_STYLE = """
  text { font-family: system-ui, 'DejaVu Sans', sans-serif; fill: #1f2933; font-size: 11px }
  .name { font-size: 15px; font-weight: 600 }
  .small { fill: #52606d }
  .mono { font-family: ui-monospace, 'DejaVu Sans Mono', monospace; fill: #334e68 }
  .page { fill: #ffffff } .host { fill: #f5f7fa; stroke: #9aa5b1; stroke-width: 1.5 }
  .router { fill: #e4e7eb; stroke: #7b8794; stroke-width: 1.5 }
  .uplink { fill: #ffffff; stroke: #7b8794; stroke-width: 1.5 }
  .outside { stroke: #7b8794; stroke-width: 2; stroke-dasharray: 2 5 } .wire { stroke: #7b8794; stroke-width: 2 }
  .pill { fill: #fff8e1; stroke: #b7791f; stroke-width: 1.5 } .pill-text { fill: #7c4a03; font-weight: 600 }
  .box { fill: #ffffff; stroke: #486581; stroke-width: 1.5 }
  .server { fill: #eef6ff; stroke: #486581; stroke-width: 1.5 }
  .other { fill: #f5f7fa; stroke: #6b7785; stroke-width: 1.5; stroke-dasharray: 5 4 }
  .header { fill: #ffffff; stroke-width: 2 } .foreign { stroke-dasharray: 5 4 }
  .bus { stroke-width: 7; stroke-linecap: round } .link { stroke-width: 2 } .dot { stroke: #ffffff; stroke-width: 1.5 }
  .same { stroke: #486581; stroke-width: 6 } .port { fill: #fff8e1; stroke: #b7791f }
  .way { stroke: #b7791f; stroke-width: 1.5 } .head { fill: #b7791f } .problem { fill: #c81e1e; font-weight: 600 }
"""


def as_svg(topology: Topology) -> str:
    """Render the topology; names that are too long are shortened."""
    return _Picture(without_control_characters(topology)).render()


class _Picture:
    def __init__(self, topology: Topology) -> None:
        self._topology = topology
        self._bridges = topology.bridges
        self._nodes = nodes_of(topology)
        self._canvas = Canvas()
        has_ports = any(link.ports for node in self._nodes for _, link in node.links)
        self._left = _MARGIN + _PADDING + (_PORT_ROOM if has_ports else 0)
        buses = (_FIRST_LINK + _HEADER / 2 + (len(self._bridges) - 1) * _COLUMN) if self._bridges else _FIRST_LINK
        uplinks = 2 * (_MARGIN + _PADDING) + len(topology.uplinks) * _UPLINK + 100
        notes = [self._left + _BOX + 24 + width_of(node.note, "mono") for node in self._nodes if node.note]
        self._right = max(self._left + _BOX + buses, uplinks - _MARGIN - _PADDING, min(max(notes, default=0), 1400))
        self._width = self._right + _PADDING + _MARGIN

    def render(self) -> str:
        canvas, topology = self._canvas, self._topology
        # The uplinks are on the frame of the host, half outside.
        host = _MARGIN + (26 + _UPLINK_HEIGHT / 2 if topology.uplinks else 0)
        router = host + (_UPLINK_HEIGHT / 2 + 22 if topology.uplinks else _PADDING)
        header = router + _ROUTER_HEIGHT + _WIRE
        top = header + (_HEADER_HEIGHT if self._bridges else 0) + 26
        bottom = top + sum(self._height(node) + _GAP for node in self._nodes) if self._nodes else top - 10
        canvas.rect(0, 0, self._width, bottom + _MARGIN + 8, "page", 12)
        canvas.rect(_MARGIN, host, self._width - 2 * _MARGIN, bottom - host + 4, "host", 14)
        self._draw_router(host, router)
        for number, bridge in enumerate(self._bridges):
            self._draw_bridge(number, bridge, router + _ROUTER_HEIGHT, header, self._last_row(number, top))
        for node in self._nodes:
            self._draw_node(node, top)
            top += self._height(node) + _GAP
        size = f'width="{self._width:g}" height="{bottom + _MARGIN + 8:g}"'
        size += f' viewBox="0 0 {self._width:g} {bottom + _MARGIN + 8:g}"'
        label = attribute(f"minirun map of {topology.host}")
        head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label={label}>'
        return "\n".join([head, f"<style>{_STYLE}</style>", *canvas.shapes, "</svg>"])

    # --- the host

    def _draw_router(self, host: float, router: float) -> None:
        canvas, uplinks = self._canvas, self._topology.uplinks
        left = _MARGIN + _PADDING
        canvas.rect(left, router, self._width - 2 * left, _ROUTER_HEIGHT, "router")
        canvas.text(left + 14, router + 27, f"host {self._topology.host}", "name", self._width - 2 * left - 128)
        if not uplinks:
            canvas.text(self._width - left - 14, router + 27, "no uplink", "small", 100, "end")
        if uplinks:
            canvas.line(_MARGIN, 14, self._width - _MARGIN, 14, "outside")
            canvas.text(_MARGIN, 30, "other hosts", "small", 90)
        for number, uplink in enumerate(uplinks):
            x, y = left + 90 + number * _UPLINK, host - _UPLINK_HEIGHT / 2
            name, _, addresses = uplink.partition(" ")
            canvas.line(x + 95, 14, x + 95, router, "wire")
            canvas.rect(x, y, 190, _UPLINK_HEIGHT, "uplink")
            canvas.text(x + 95, y + (19 if addresses else 28), name, "name", 174, "middle")
            canvas.text(x + 95, y + 36, addresses.replace(" ", ", "), "mono", 178, "middle")

    def _draw_bridge(self, number: int, bridge: Bridge, router: float, header: float, last: float) -> None:
        canvas, x, color = self._canvas, self._bus(number), self._color(number)
        foreign = "" if bridge.is_ours or bridge.other_root else " foreign"
        if not bridge.internal:
            canvas.line(x, router, x, header, "wire" + foreign)
        if bridge.outward:
            room = width_of(bridge.outward, "small") + 20
            canvas.rect(x - room / 2, router + _WIRE / 2 - 11, room, 22, "pill", 11)
            canvas.text(x, router + _WIRE / 2 + 4, bridge.outward, "pill-text", room, "middle")
        if last:
            canvas.line(x, header + _HEADER_HEIGHT, x, last, "bus" + foreign, color)
        left, room = x - _HEADER / 2, _HEADER - 20
        canvas.shapes.append(
            f'<rect class="header{foreign}" x="{left:g}" y="{header:g}" width="{_HEADER}" height="{_HEADER_HEIGHT}"'
            f' rx="8" style="stroke:{color}"/>'
        )
        title = bridge.network or bridge.other_root or bridge.name
        details = [bridge.kind] if bridge.kind not in ("bridge", "") else []
        details += ["internal"] if bridge.internal else []
        owner = "" if bridge.is_ours else "of another state root" if bridge.other_root else "not minirun's"
        second = ", ".join([*([bridge.name] if title != bridge.name else []), *details])
        lines = [(bridge.problem, "problem"), (owner, "small"), (second, "mono")]
        lines += [(address, "mono") for address in bridge.addresses or ([bridge.subnet] if bridge.subnet else [])]
        canvas.text(x, header + 22, title, "name", room, "middle")
        for row, (text, kind) in enumerate([line for line in lines if line[0]][:3]):
            canvas.text(x, header + 40 + row * 15, text, kind, room, "middle")

    # --- rows

    def _bus(self, number: int) -> float:
        return self._left + _BOX + _FIRST_LINK + number * _COLUMN

    def _color(self, number: int) -> str:
        bridge = self._bridges[number]
        return _COLORS[number % len(_COLORS)] if bridge.is_ours else _OTHER_ROOT if bridge.other_root else _FOREIGN

    def _height(self, node: Node) -> float:
        links = sum(map(_link_height, node.links))
        ports = min(sum(len(link.ports) for _, link in node.links), _MOST_PORTS + 1)
        return self._own_height(links, ports) + len(node.mates) * (_LEAST_ROW + _MATE_GAP)

    @staticmethod
    def _own_height(links: float, ports: int) -> float:
        return max(_LEAST_ROW, links + 8, ports * _PORT_ROW + 4)

    def _last_row(self, number: int, top: float) -> float:
        """Where the last link of a bridge is."""
        last = 0.0
        for node in self._nodes:
            for (bridge, _), y in zip(node.links, self._link_rows(node, top), strict=True):
                last = max(last, y) if bridge == number else last
            top += self._height(node) + _GAP
        return last

    def _link_rows(self, node: Node, top: float) -> list[float]:
        """Where each link of a node is, in the middle of its own row."""
        heights = list(map(_link_height, node.links))
        mates = len(node.mates) * (_LEAST_ROW + _MATE_GAP)
        y = top + (self._height(node) - mates - sum(heights)) / 2
        rows = []
        for height in heights:
            rows.append(y + 18)
            y += height
        return rows

    def _draw_node(self, node: Node, top: float) -> None:
        canvas = self._canvas
        mates = len(node.mates) * (_LEAST_ROW + _MATE_GAP)
        height = self._height(node) - mates
        for (number, link), y in zip(node.links, self._link_rows(node, top), strict=True):
            self._draw_link(number, link, y)
        self._draw_box(node, top, height)
        ports = [port for _, link in node.links for port in link.ports]
        self._draw_ports([f"{port.host} → {port.container_port}" for port in ports], top, height)
        if node.note:
            x = self._left + _BOX + 24
            canvas.text(x, top + height / 2 + 4, node.note, "mono", self._right - x)
        y = top + height
        for mate in node.mates:
            canvas.line(self._left + _BOX / 2, y, self._left + _BOX / 2, y + _MATE_GAP, "same")
            self._draw_box(mate, y + _MATE_GAP, _LEAST_ROW, f"network of {node.name}")
            y += _MATE_GAP + _LEAST_ROW

    def _draw_box(self, node: Node, top: float, height: float, detail: str = "") -> None:
        canvas, middle = self._canvas, self._left + _BOX / 2
        canvas.rect(self._left, top, _BOX, height, {SERVER: "server", OTHER: "other"}.get(node.kind, "box"))
        lines = [(node.id, "mono"), (detail, "small"), *[(problem, "problem") for problem in node.problems[:1]]]
        lines = [line for line in lines if line[0]]
        y = top + height / 2 - len(lines) * 8 + 5
        canvas.text(middle, y, node.name, "name", _BOX - 20, "middle")
        for number, (text, kind) in enumerate(lines):
            canvas.text(middle, y + 17 + number * 15, text, kind, _BOX - 16, "middle")

    def _draw_link(self, number: int, link: Link, y: float) -> None:
        canvas, x, color = self._canvas, self._bus(number), self._color(number)
        canvas.line(self._left + _BOX, y, x, y, "link", color)
        canvas.dot(x, y, color)
        room = (_FIRST_LINK if not number else _COLUMN) - 26
        addresses = sorted(link.addresses, key=lambda address: ":" in address)
        inside = " ".join([link.inside, *addresses[:1]]).strip()
        canvas.text(x - 12, y - 6, inside or link.outside, "mono", room, "end")
        below = [*addresses[1:2], *([link.outside] if inside else [])]
        for row, text in enumerate(below):
            canvas.text(x - 12, y + 14 + row * 12, text, "mono" if ":" in text else "small", room, "end")

    def _draw_ports(self, texts: list[str], top: float, height: float) -> None:
        canvas = self._canvas
        if len(texts) > _MOST_PORTS + 1:
            texts = [*texts[:_MOST_PORTS], f"and {len(texts) - _MOST_PORTS} more"]
        y = top + (height - len(texts) * _PORT_ROW) / 2
        for text in texts:
            left, width = _MARGIN + _PADDING, _PORT_ROOM - 28
            canvas.rect(left, y + 1, width, _PORT_ROW - 3, "port", 5)
            canvas.text(left + width / 2, y + SMALL_SIZE + 4, text, "mono", width - 10, "middle")
            canvas.line(left + width, y + _PORT_ROW / 2, self._left - 6, y + _PORT_ROW / 2, "way")
            canvas.arrow(self._left - 1, y + _PORT_ROW / 2, "head")
            y += _PORT_ROW


def _link_height(attached: tuple[int, Link]) -> int:
    """The row of one link: its address above the line, others and the link's own name below."""
    return _LINK_ROW6 if len(attached[1].addresses) > 1 else _LINK_ROW
