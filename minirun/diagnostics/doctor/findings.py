"""What a check reports."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from minirun.instance import Instance

GOOD, NOTE, WARNING, PROBLEM = "ok", "note", "warning", "problem"


@dataclass(frozen=True)
class Finding:
    """One thing that a check looked at. `repair` is set if minirun created the broken object and can repair it."""

    level: str  # GOOD, NOTE, WARNING or PROBLEM
    what: str  # one sentence, without a full stop
    evidence: str = ""  # where it was seen: a file, a rule, an address
    fix: str = ""  # a command to type, or what to change
    repair: Callable[[], object] | None = None


Check: TypeAlias = Callable[[Instance], Iterator[Finding]]
