"""What a check found."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from minirun.instance import Instance

GOOD, NOTE, WARNING, TROUBLE = "ok", "note", "warning", "trouble"


@dataclass(frozen=True)
class Finding:
    level: str
    what: str
    evidence: str = ""
    fix: str = ""
    mend: Callable[[], object] | None = None  # what is minirun's own to mend


Check: TypeAlias = Callable[[Instance], Iterator[Finding]]
