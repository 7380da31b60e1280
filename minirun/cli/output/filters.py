"""--filter KEY=VALUE: several values of one key are alternatives, several keys must all hold."""

from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from minirun.cli.pflag import FlagError
from minirun.errors import MinirunError

T = TypeVar("T")
Filters = dict[str, list[str]]


def parse_filters(texts: Iterable[str], known: Iterable[str]) -> Filters:
    """KEY=VALUE; for labels KEY!=VALUE is Docker's way of naming the key `label!`."""
    found: Filters = {}
    names = set(known)
    for text in texts:
        key, equals, value = text.partition("=")
        key = key.strip().lower()
        if not equals:
            raise FlagError(
                f'invalid argument "{text}" for "--filter" flag: bad format of filter (expected name=value)'
            )
        if key not in names:
            raise MinirunError(f"invalid filter '{key}'", "one of " + ", ".join(sorted(names)))
        found.setdefault(key, []).append(value.strip())
    return found


def matches(item: T, filters: Filters, tests: Mapping[str, Callable[[T, str], bool]]) -> bool:
    """Whether an item passes all filters; `tests` has one by key."""
    return all(any(tests[key](item, value) for value in values) for key, values in filters.items())


def is_true(key: str, text: str) -> bool:
    """The value of a filter that is true or false."""
    if text.lower() not in ("1", "true", "0", "false"):
        raise MinirunError(f"invalid filter '{key}={text}'", "true or false")
    return text.lower() in ("1", "true")


def has_label(labels: Mapping[str, str], wanted: str) -> bool:
    """KEY, or KEY=VALUE."""
    key, equals, value = wanted.partition("=")
    return key in labels and (not equals or labels[key] == value)


def has_all_labels(labels: Mapping[str, str], filters: Filters) -> bool:
    """Labels are the exception: each that is given must be there (`label!`: must not)."""
    return all(has_label(labels, wanted) for wanted in filters.get("label", [])) and not any(
        has_label(labels, unwanted) for unwanted in filters.get("label!", [])
    )
