"""Shapes of a picture, and texts that fit (https://www.w3.org/TR/SVG2/). Sizes are in points."""

from dataclasses import dataclass, field
from xml.sax.saxutils import escape, quoteattr

_NARROW, _WIDE = frozenset("ijlIrtf.,:;|!'()[]/ "), frozenset("mwMW@%")
# Width of a letter, in parts of the font's size; more than common fonts have.
_EM_NARROW, _EM_WIDE, _EM_CAPITAL, _EM_OTHER, _EM_MONO, _EM_FULL = 0.42, 1.12, 0.86, 0.72, 0.62, 1.1
NAME_SIZE, SMALL_SIZE = 15, 11


@dataclass
class Canvas:
    """Shapes, in the order in which they are painted."""

    shapes: list[str] = field(default_factory=list)

    def rect(self, x: float, y: float, width: float, height: float, kind: str, radius: float = 8) -> None:
        """Draw a rectangle with round corners."""
        self.shapes.append(
            f'<rect class="{kind}" x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="{radius:g}"/>'
        )

    def line(self, x: float, y: float, to_x: float, to_y: float, kind: str, color: str = "") -> None:
        """Draw a line."""
        style = f' style="stroke:{color}"' if color else ""
        self.shapes.append(f'<line class="{kind}" x1="{x:g}" y1="{y:g}" x2="{to_x:g}" y2="{to_y:g}"{style}/>')

    def dot(self, x: float, y: float, color: str) -> None:
        """Draw the point where a link is attached."""
        self.shapes.append(f'<circle class="dot" cx="{x:g}" cy="{y:g}" r="5" style="fill:{color}"/>')

    def arrow(self, x: float, y: float, kind: str) -> None:
        """Draw the head of an arrow to the right, with its point at x, y."""
        self.shapes.append(f'<path class="{kind}" d="M{x - 9:g},{y - 5:g} L{x:g},{y:g} L{x - 9:g},{y + 5:g} Z"/>')

    def text(self, x: float, y: float, text: str, kind: str, room: float, anchor: str = "start") -> None:
        """Write a text, shortened to `room`; the whole of it appears when one points at it."""
        shown = shortened(text, room, kind)
        title = f"<title>{escape(text)}</title>" if shown != text else ""
        where = f' text-anchor="{anchor}"' if anchor != "start" else ""
        self.shapes.append(f'<text class="{kind}" x="{x:g}" y="{y:g}"{where}>{title}{escape(shown)}</text>')


def shortened(text: str, room: float, kind: str) -> str:
    """Return the text, or as much of its beginning as fits, with an ellipsis."""
    if width_of(text, kind) <= room:
        return text
    while text and width_of(text + "…", kind) > room:
        text = text[:-1]
    return text + "…"


def width_of(text: str, kind: str) -> float:
    """Return a width that the text does not exceed."""
    if "mono" in kind:
        return sum(_EM_FULL if _is_full(letter) else _EM_MONO for letter in text) * SMALL_SIZE
    return sum(map(_em, text)) * (NAME_SIZE if "name" in kind else SMALL_SIZE)


def _em(letter: str) -> float:
    if letter in _NARROW:
        return _EM_NARROW
    if letter in _WIDE:
        return _EM_WIDE
    if _is_full(letter):
        return _EM_FULL
    return _EM_CAPITAL if letter.isupper() else _EM_OTHER


def _is_full(letter: str) -> bool:
    return not letter.isascii() and letter not in "→—…"


def attribute(text: str) -> str:
    """Return the text as the quoted value of an attribute."""
    return quoteattr(text)
