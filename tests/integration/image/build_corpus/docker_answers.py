"""What Docker's classic builder made of each case, recorded: a running Docker takes most of the time of a comparison.

An answer belongs to its case as it was then: after a change of the case there is none, until it is recorded anew.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from tests.integration.image.build_corpus.case import Case, Fault

_PATH = Path(__file__).with_name("docker_answers.json")


def recorded(case: Case | Fault) -> Any:
    """Return Docker's answer to the case as it is now, or None."""
    answer = _all().get(case.name, {})
    return answer["answer"] if answer.get("case") == _digest(case) else None


def record(case: Case | Fault, answer: Any) -> None:
    """Keep Docker's answer. One process at a time may do so."""
    answers = _all() | {case.name: {"case": _digest(case), "answer": answer}}
    lines = [f"{json.dumps(name)}: {json.dumps(answers[name], sort_keys=True)}" for name in sorted(answers)]
    _PATH.write_text("{\n" + ",\n".join(lines) + "\n}\n")


def _all() -> dict[str, Any]:
    return json.loads(_PATH.read_text()) if _PATH.exists() else {}


def _digest(case: Case | Fault) -> str:
    """Identify what Docker is given."""
    base = case.base if isinstance(case, Case) else ""
    return hashlib.sha256(repr((case.dockerfile, dict(case.files), case.flags, base)).encode()).hexdigest()[:12]
