"""The table, in Markdown."""

import os
import platform
import statistics
from collections.abc import Sequence
from pathlib import Path

from bench import memory
from bench.measure import ROWS, Cell, Contender, Results


def table(contenders: Sequence[Contender], rows: Sequence[str], rounds: int, results: Results) -> str:
    engines = [one for one in contenders if one.name != "python3"]
    names = [one.name for one in engines]
    peers = [name for name in names if name != "minirun"] if "minirun" in names else []
    heads = ["work", *names, *(f"minirun / {peer}" for peer in peers)]
    lines = [
        f"{_machine()}.",
        ", ".join(f"{one.name} {one.version}".strip() for one in engines) + ".",
        f"{rounds} rounds, interleaved; milliseconds of wall time: median (10th to 90th percentile).",
        "",
        "| " + " | ".join(heads) + " |",
        "|---" * len(heads) + "|",
    ]
    for row in rows:
        cells = [results.get((row, name)) for name in names]
        if row == "python":
            cells[0] = results.get((row, "python3"))
        ratios = [_ratio(results.get((row, "minirun")), results.get((row, peer))) for peer in peers]
        lines.append(f"| `{ROWS[row][0]}` | " + " | ".join([*map(_text, cells), *ratios]) + " |")
    return "\n".join(lines)


def memory_table(contenders: Sequence[Contender], watchers: dict[str, list[int]], daemons: dict[str, int]) -> str:
    names = [one.name for one in contenders if one.name in watchers]
    return "\n".join(
        [
            "",
            f"Memory, in MiB of PSS: median (lowest to highest) of {memory.CONTAINERS} containers that run at once.",
            "",
            "| memory | " + " | ".join(names) + " |",
            "|---" * (len(names) + 1) + "|",
            "| of what watches one container | " + " | ".join(memory.text(watchers[name]) for name in names) + " |",
            "| of the daemons | " + " | ".join(f"{daemons[name] / 1024:.1f}" for name in names) + " |",
        ]
    )


def _text(cell: Cell | None) -> str:
    if cell is None:
        return "-"
    failed = f", {cell.failed} failed" if cell.failed else ""
    if len(cell.seconds) < 2:
        return f"-{failed}"
    tenths = statistics.quantiles(cell.seconds, n=10, method="inclusive")
    low, middle, high = (1000 * value for value in (tenths[0], statistics.median(cell.seconds), tenths[-1]))
    return f"{middle:.0f} ({low:.0f} to {high:.0f}){failed}"


def _ratio(ours: Cell | None, theirs: Cell | None) -> str:
    if not ours or not theirs or not ours.seconds or not theirs.seconds:
        return "-"
    return f"{statistics.median(ours.seconds) / statistics.median(theirs.seconds):.2f}"


def _machine() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.split(":")[1].strip() for line in lines if "model name" in line), platform.machine())
    release = platform.freedesktop_os_release().get("PRETTY_NAME", "unknown distribution")
    load = os.getloadavg()[0]
    return f"{model}, {os.cpu_count()} cores, Linux {platform.release()}, {release}; load {load:.1f} at the end"
