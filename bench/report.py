"""The tables, in Markdown, and what they say in words: where a peer wins, and how far it is to the floor."""

from collections.abc import Mapping

from bench.results import FLOOR, Results
from bench.rows import GROUPS, ROWS, Group, Row
from bench.targets import ratio

_OWN = "minirun"
_HOW = "interleaved in shuffled order; median (10th to 90th percentile)"


def text(results: Results) -> str:
    parts = [
        *results.facts,
        f"{results.rounds} rounds, {_HOW}.",
    ]
    for name, group in GROUPS.items():
        rows = {row: group.rows[row] for row in group.rows if row in results.rows}
        if rows:
            parts += ["", *(_floors(results, group, rows) if name == "floors" else _table(results, group, rows))]
    parts += ["", *_words(results)]
    return "\n".join(parts).rstrip() + "\n"


def _table(results: Results, group: Group, rows: Mapping[str, Row]) -> list[str]:
    engines = list(results.engines)
    peers = [name for name in engines if name != _OWN] if _OWN in engines else []
    asked = any(row.targets for row in rows.values())
    heads = ["work", *engines, *(f"minirun / {peer}" for peer in peers), *(("target", "") if asked else ())]
    lines = [f"**{group.title}**", "", _line(heads), "|---" * len(heads) + "|"]
    for name, row in rows.items():
        cells = [f"{_title(row)} [{row.unit}]", *(number(results, name, engine) for engine in engines)]
        cells += [_ratio(ratio(results, name, peer)) for peer in peers]
        if asked:
            cells += ["; ".join(target.text for target in row.targets), _verdicts(results, name)]
        lines.append(_line(cells))
    return lines


def _floors(results: Results, group: Group, rows: Mapping[str, Row]) -> list[str]:
    lines = [f"**{group.title}**", "", "| work | |", "|---|---|"]
    return lines + [_line([f"{_title(row)} [{row.unit}]", number(results, name, FLOOR)]) for name, row in rows.items()]


def _words(results: Results) -> list[str]:
    lines = []
    for peer in results.engines:
        if peer != _OWN and (won := _won(results, peer)):
            lines.append(f"Where {peer} is ahead of minirun: {', '.join(won)}.")
    judged = [target.verdict(results, row) for row in results.rows for target in ROWS[row].targets]
    if judged:
        lines.append(f"Of {len(judged)} targets {judged.count('met')} are met, {judged.count('not met')} are not,")
        lines[-1] += f" {judged.count('-')} could not be judged."
    return lines


def _won(results: Results, peer: str) -> list[str]:
    """With the ratio, as in the tables."""
    found = []
    for name in results.rows:
        times = ratio(results, name, peer)
        if times is not None and (times < 1 if ROWS[name].more_is_better else times > 1):
            found.append(f"{ROWS[name].title} ({times:.2f})")
    return found


def number(results: Results, row: str, engine: str) -> str:
    middle, spread, failed = results.median(row, engine), results.spread(row, engine), results.cell(row, engine).failed
    failures = f", {failed} failed" if failed else ""
    if middle is None or spread is None:
        return f"-{failures}"
    return f"{digits(middle)} ({digits(spread[0])} to {digits(spread[1])}){failures}"


def digits(value: float) -> str:
    """As many as mean something: the third figure of these is noise."""
    return f"{value:.0f}" if value >= 20 or value == 0 else f"{value:.1f}" if value >= 2 else f"{value:.2f}"


def _verdicts(results: Results, row: str) -> str:
    """One word if they agree, else one for each target."""
    found = [target.verdict(results, row) for target in ROWS[row].targets]
    return "; ".join(found if len(set(found)) > 1 else found[:1])


def _ratio(times: float | None) -> str:
    return "-" if times is None else f"{times:.2f}"


def _title(row: Row) -> str:
    return f"`{row.title}`" if row.title.startswith(("-", "python3")) else row.title


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"
