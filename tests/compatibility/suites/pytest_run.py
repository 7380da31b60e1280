"""Run tests with pytest in the clients' environment, and read what it found from its JUnit file."""

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.compatibility.outcomes import Outcome, numbered
from tests.compatibility.stage import Stage


def run_pytest(
    stage: Stage,
    directory: Path,
    words: Sequence[str],
    environment: Mapping[str, str],
    timeout: int = 90,
    whole: int = 1500,
) -> list[Outcome]:
    """`timeout` is a test's, `whole` that of all of them, both in seconds."""
    report = stage.records.with_name("junit.xml")
    report.unlink(missing_ok=True)
    flags = f"-q -p no:cacheprovider --timeout={timeout} --tb=short --junitxml={report}".split()
    variables = [f"{name}={value}" for name, value in environment.items()]
    command = ["env", *variables, stage.peers.python, "-m", "pytest", *flags, *words]
    done = stage.run(command, cwd=directory, timeout=whole)
    stage.records.with_name("pytest.log").write_text(done.stdout + done.stderr)
    return outcomes_of(report, done)


def outcomes_of(report: Path, done: Any) -> list[Outcome]:
    """What the JUnit file of a finished pytest says."""
    if not report.exists():
        raise SystemExit(f"pytest did not run: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return numbered(_outcome(case) for case in ElementTree.parse(report).iter("testcase"))


def _outcome(case: ElementTree.Element) -> Outcome:
    name = f"{case.get('classname')}::{case.get('name')}"
    name = re.sub(r"^tests\.(integration|core)\.|^test\.python\.docker\.compat\.", "", name)
    for status, tag in (("failed", "failure"), ("failed", "error"), ("skipped", "skipped")):
        if (found := case.find(tag)) is not None:
            return Outcome(
                name,
                status,
                (found.text or found.get("message") or "") if tag != "skipped" else found.get("message") or "",
            )
    return Outcome(name, "passed")
