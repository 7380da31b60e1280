"""What the prune verbs leave alone: --filter until=.. and label=.."""

import time
from collections.abc import Mapping
from dataclasses import dataclass

from minirun.cli.filters import Filters, has_all_labels
from minirun.errors import MinirunError
from minirun.options.values import find_duration

KEYS = ("until", "label", "label!")


@dataclass(frozen=True)
class Choice:
    """Read once, before anything is asked or removed."""

    latest: float
    filters: Filters

    def has(self, created: float, labels: Mapping[str, str]) -> bool:
        return created <= self.latest and has_all_labels(labels, self.filters)


def choice_of(filters: Filters) -> Choice:
    """`until` is a duration before now, or seconds since the epoch."""
    return Choice(min([time.time(), *(_moment(text) for text in filters.get("until", []))]), filters)


def _moment(text: str) -> float:
    ago = find_duration(text)
    if ago is not None:
        return time.time() - ago
    if text.isascii() and text.isdigit():
        return float(text)
    raise MinirunError(f"invalid filter 'until={text}'", "a duration such as 24h, or seconds since the epoch")
