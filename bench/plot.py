"""The tables as a picture: bars of medians with whiskers from the 10th to the 90th percentile, in SVG written by hand.

Rows of one unit share a scale within their table. Colours follow the reader's light or dark setting; the numbers stand
beside the bars, so that nothing is said by colour or length alone.
"""

from collections.abc import Iterator, Mapping
from xml.sax.saxutils import escape

from bench.report import digits
from bench.results import FLOOR, Results
from bench.rows import GROUPS, Row

_WIDTH, _LEFT, _BAR = 960, 330, 440  # of all, up to where bars begin, of the longest bar or whisker
_THICK, _STEP, _GAP = 9, 14, 10
_STYLE = """
text { font: 12px system-ui, sans-serif; fill: #24292f } .head { font-weight: 600; font-size: 14px }
.small { font-size: 11px; fill: #57606a } .paper { fill: #fff } .axis { stroke: #afb8c1 } .whisker { stroke: #24292f }
.minirun { fill: #2f6fde } .docker { fill: #d9822b } .podman { fill: #8a63d2 } .floor { fill: #8c959f }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } .small { fill: #9198a1 } .paper { fill: #0d1117 } .axis { stroke: #3d444d }
  .whisker { stroke: #e6edf3 } .minirun { fill: #5b94f5 } .docker { fill: #e09b51 } .podman { fill: #a98be8 }
}
"""


class _Sheet:
    """What has been drawn, and how far down."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.y = 24.0

    def text(self, x: float, words: str, kind: str = "", end: bool = False) -> None:
        anchor = ' text-anchor="end"' if end else ""
        self.parts.append(f'<text x="{x:.1f}" y="{self.y:.1f}" class="{kind}"{anchor}>{escape(words)}</text>')

    def bar(self, engine: str, length: float, low: float, high: float) -> None:
        top, middle = self.y - _THICK, self.y - _THICK / 2
        self.parts.append(
            f'<rect x="{_LEFT}" y="{top:.1f}" width="{max(length, 1):.1f}" height="{_THICK}" class="{engine}"/>'
        )
        start, end, tick = _LEFT + low, _LEFT + high, 3
        self.parts.append(
            f'<path class="whisker" d="M{start:.1f} {middle:.1f}H{end:.1f}M{start:.1f} {middle - tick:.1f}v{2 * tick}'
            f'M{end:.1f} {middle - tick:.1f}v{2 * tick}"/>'
        )

    def axis(self, top: float) -> None:
        self.parts.append(f'<path class="axis" d="M{_LEFT} {top:.1f}V{self.y:.1f}"/>')


def svg(results: Results) -> str:
    sheet = _Sheet()
    _legend(sheet, results)
    for name, group in GROUPS.items():
        rows = {row: group.rows[row] for row in group.rows if row in results.cells}
        if rows:
            sheet.y += 2 * _GAP + _STEP
            sheet.text(16, group.title, "head")
            sheet.y += _GAP
            _bars(sheet, results, rows, [FLOOR] if name == "floors" else list(results.engines))
    height = sheet.y + 16
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height:.0f}" role="img">',
            f"<title>{escape('minirun beside ' + ' and '.join(_peers(results)))}</title>",
            f'<style>{_STYLE}</style><rect class="paper" width="{_WIDTH}" height="{height:.0f}"/>',
            *sheet.parts,
            "</svg>\n",
        ]
    )


def _legend(sheet: _Sheet, results: Results) -> None:
    x = 16.0
    for engine, version in results.engines.items():
        sheet.parts.append(f'<rect x="{x}" y="{sheet.y - 10}" width="10" height="10" rx="1.5" class="{engine}"/>')
        sheet.text(x + 16, f"{engine} {version}")
        x += 60 + 7 * len(f"{engine} {version}")
    for line in [*results.facts[:1], f"{results.rounds} rounds; bars: medians, whiskers: 10th to 90th percentile"]:
        sheet.y += _STEP + 2
        sheet.text(16, line, "small")


def _bars(sheet: _Sheet, results: Results, rows: Mapping[str, Row], engines: list[str]) -> None:
    top = sheet.y
    for name, row in rows.items():
        longest = _longest(results, [other for other in rows if _alike(rows[other], row)], engines)
        sheet.y += _GAP / 2
        for number, (engine, middle, low, high) in enumerate(_measured(results, name, engines)):
            sheet.y += _STEP
            if not number:
                sheet.text(_LEFT - 10, row.title, end=True)
            scale = _BAR / longest
            sheet.bar(engine, middle * scale, max(low, 0) * scale, max(high, 0) * scale)
            sheet.text(_LEFT + max(middle, high) * scale + 8, f"{digits(middle)} {row.unit}", "small")
        sheet.y += _GAP / 2
    sheet.axis(top)


def _measured(results: Results, row: str, engines: list[str]) -> Iterator[tuple[str, float, float, float]]:
    for engine in engines:
        middle, spread = results.median(row, engine), results.spread(row, engine)
        if middle is not None and spread is not None:
            yield engine, middle, *spread


def _alike(one: Row, other: Row) -> bool:
    return one is other or (one.unit == other.unit and not one.alone and not other.alone)


def _longest(results: Results, rows: list[str], engines: list[str]) -> float:
    return max((max(each[1:]) for row in rows for each in _measured(results, row, engines)), default=0) or 1.0


def _peers(results: Results) -> list[str]:
    return [name for name in results.engines if name != "minirun"] or ["its floor"]
