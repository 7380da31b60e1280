"""What the prune commands have in common: which things are left alone, the question, and the report."""

import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass

from minirun.cli.output.filters import Filters, has_all_labels
from minirun.cli.output.table import size
from minirun.errors import MinirunError
from minirun.instance import Instance
from minirun.options.values import find_duration

KEYS = ("until", "label", "label!")


@dataclass(frozen=True)
class Choice:
    """Read once, before anything is asked or removed."""

    latest: float  # seconds since the epoch: what was created later stays
    filters: Filters

    def has(self, created: float, labels: Mapping[str, str]) -> bool:
        """Whether something of that time and with those labels is to be removed."""
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


def confirmed(warning: str, force: bool) -> bool:
    """Ask Docker's question. End of file is no."""
    if force:
        return True
    print(f"WARNING! {warning}\nAre you sure you want to continue? [y/N] ", end="", flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def print_removed(title: str, names: list[str]) -> None:
    """The names under their title, if there are any."""
    if names:
        print(f"{title}:", *names, "", sep="\n")


def print_reclaimed(number: int) -> None:
    """The line about bytes freed."""
    print(f"Total reclaimed space: {size(number, 4)}")


def pruned(instance: Instance, kind: str, removed: list[str], freed: int) -> tuple[list[str], int]:
    """Record the event of a prune. Returns what was removed, and the bytes freed."""
    with instance.store.write():
        instance.store.add_event(kind, "prune", "", {"reclaimed": str(freed)})
    return removed, freed
