"""What a suite found, beside what is known: which tests Docker itself fails here, and which minirun fails, and why."""

import fnmatch
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

_LISTS = Path(__file__).with_name("lists")


@dataclass(frozen=True)
class Outcome:
    """Of one test: passed, failed or skipped, and its last words."""

    test: str
    status: str
    detail: str = ""


@dataclass(frozen=True)
class Explanation:
    """Why an engine fails the tests that match a pattern of fnmatch(3)."""

    engine: str
    pattern: str
    reason: str


@dataclass(frozen=True)
class Verdict:
    """A suite's tests that Docker passes here, and what became of them."""

    total: int
    passed: int
    skipped: Sequence[Outcome]
    explained: Mapping[Outcome, str]
    unexplained: Sequence[Outcome]

    @property
    def is_good(self) -> bool:
        return not self.unexplained


def explanations(suite: str) -> list[Explanation]:
    """Of lists/SUITE.txt, whose lines are `ENGINE: TEST  # REASON`."""
    file = _LISTS / f"{suite}.txt"
    found = []
    for line in file.read_text().splitlines() if file.exists() else ():
        if line.strip() and not line.startswith("#"):
            engine, _, rest = line.partition(": ")
            pattern, _, reason = rest.partition("  # ")
            assert engine in ("docker", "minirun"), line
            assert reason.strip(), f"{file}: a reason is missing: {line}"
            found.append(Explanation(engine, pattern.strip(), reason.strip()))
    return found


def judge(suite: str, engine: str, outcomes: Iterable[Outcome]) -> Verdict:
    """Tests that Docker fails here count for nobody; with Docker as the engine, they are the explained ones."""
    known = explanations(suite)
    total, passed = 0, 0
    skipped, explained, unexplained = [], {}, []
    for outcome in outcomes:
        theirs = _reason(known, "docker", outcome.test)
        if theirs and engine == "minirun":
            continue
        total += outcome.status != "skipped"
        if outcome.status == "passed":
            passed += 1
        elif outcome.status == "skipped":
            skipped.append(outcome)
        elif reason := theirs or _reason(known, engine, outcome.test):
            explained[outcome] = reason
        else:
            unexplained.append(outcome)
    return Verdict(total, passed, skipped, explained, unexplained)


def _reason(known: Iterable[Explanation], engine: str, test: str) -> str | None:
    for one in known:
        if one.engine == engine and (test == one.pattern or fnmatch.fnmatchcase(test, one.pattern)):
            return one.reason
    return None


def say(suite: str, engine: str, verdict: Verdict) -> None:
    """Print the result; the last line is the sum."""
    for outcome in verdict.unexplained:
        print(f"FAILED {outcome.test}\n{_indented(outcome.detail)}")
    for outcome, reason in verdict.explained.items():
        print(f"explained {outcome.test}: {reason}")
    for outcome in verdict.skipped:
        print(f"skipped {outcome.test}: {outcome.detail.splitlines()[0] if outcome.detail else ''}")
    share = 100 * verdict.passed / verdict.total if verdict.total else 0
    print(f"{suite} on {engine}: {verdict.passed} of {verdict.total} ({share:.1f} %), {len(verdict.skipped)} skipped")


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.strip().splitlines()[-12:])


def write(file: Path, outcomes: Sequence[Outcome]) -> None:
    """Keep what was found, for the report."""
    file.write_text(json.dumps([asdict(one) for one in outcomes], indent=1))


def read(file: Path) -> list[Outcome]:
    """What `write` kept."""
    return [Outcome(**one) for one in json.loads(file.read_text())]


def numbered(outcomes: Iterable[Outcome]) -> list[Outcome]:
    """Tests of one name are told apart by a number."""
    seen: Counter[str] = Counter()
    result = []
    for one in outcomes:
        seen[one.test] += 1
        name = one.test if seen[one.test] == 1 else f"{one.test} ({seen[one.test]})"
        result.append(Outcome(name, one.status, one.detail))
    return result
