"""The numbers: what each engine did in each row, and on what machine. As JSON, it is what --json writes."""

import json
import statistics
from dataclasses import asdict, dataclass, field

FLOOR = "floor"  # whose the numbers of no engine are


@dataclass
class Cell:
    """One engine in one row, in the row's unit."""

    samples: list[float] = field(default_factory=list)
    failed: int = 0


@dataclass
class Results:
    rounds: int
    rows: list[str]
    facts: list[str] = field(default_factory=list)  # the head of the report
    engines: dict[str, str] = field(default_factory=dict)  # name: version
    cells: dict[str, dict[str, Cell]] = field(default_factory=dict)

    def add(self, row: str, engine: str, sample: float) -> None:
        self._made(row, engine).samples.append(sample)

    def fail(self, row: str, engine: str) -> None:
        self._made(row, engine).failed += 1

    def cell(self, row: str, engine: str) -> Cell:
        return self.cells.get(row, {}).get(engine) or Cell()

    def median(self, row: str, engine: str) -> float | None:
        samples = self.cell(row, engine).samples
        return statistics.median(samples) if samples else None

    def floor(self, row: str) -> float | None:
        return self.median(row, FLOOR)

    def spread(self, row: str, engine: str) -> tuple[float, float] | None:
        """The 10th and the 90th percentile; with few samples that is nearly the lowest and the highest."""
        samples = self.cell(row, engine).samples
        if not samples:
            return None
        tenths = statistics.quantiles(samples, n=10, method="inclusive") if len(samples) > 1 else samples
        return tenths[0], tenths[-1]

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1)

    def _made(self, row: str, engine: str) -> Cell:
        return self.cells.setdefault(row, {}).setdefault(engine, Cell())


def from_json(text: str) -> Results:
    read = json.loads(text)
    cells = {row: {name: Cell(**cell) for name, cell in engines.items()} for row, engines in read.pop("cells").items()}
    return Results(**read, cells=cells)
