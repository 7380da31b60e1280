"""The functions a template may call: Go's own, and those of the docker command.

Sources: https://pkg.go.dev/text/template, "Functions"; https://docs.docker.com/engine/cli/formatting/
"""

from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

from minirun.cli.template.compare import COMPARISONS, equal
from minirun.cli.template.encode import encode, html, js, urlquery
from minirun.cli.template.literals import utf8
from minirun.cli.template.printf import LARGEST, sprintf
from minirun.cli.template.values import NO_VALUE, CallError, show, truth, type_name


class Function(NamedTuple):
    """`takes` names the types of the arguments; with `more`, any number of the last may follow. `any` takes nil for a
    value that is missing, and `value` the fact that it is."""

    call: Callable[..., object]
    takes: tuple[str, ...]
    more: bool = False

    @property
    def least(self) -> int:
        """How many arguments it needs."""
        return len(self.takes) - self.more

    def kind(self, index: int) -> str:
        """The type of an argument, for errors."""
        return self.takes[min(index, len(self.takes) - 1)]


def _length(value: object) -> int:
    if isinstance(value, str):
        return len(utf8(value))
    if not isinstance(value, list | tuple | dict):
        raise CallError("len of nil pointer" if value is None else f"len of type {type_name(value)}")
    return len(value)


def _index(value: object, *keys: object) -> object:
    for key in keys:
        if isinstance(value, dict):
            value = _entry(value, key)
        elif isinstance(value, list | tuple):
            value = value[_position(key, len(value) - 1)]
        elif isinstance(value, str):
            value = utf8(value)[_position(key, len(utf8(value)) - 1)]
        else:
            raise CallError("index of untyped nil" if value is None else f"can't index item of type {type_name(value)}")
    return value


def _entry(table: dict[str, object], key: object) -> object:
    """Go gives the zero of the map's type for a missing key. Of Labels, and of what may be Labels, that is ''."""
    if not isinstance(key, str):
        raise CallError(f"value has type {type_name(key)}; should be string")
    if key in table:
        return table[key]
    return "" if all(isinstance(value, str) for value in table.values()) else NO_VALUE


def _position(key: object, last: int) -> int:
    if isinstance(key, bool) or not isinstance(key, int):
        raise CallError(f"cannot index slice/array with {'nil' if key is None else f'type {type_name(key)}'}")
    if not 0 <= key <= last:
        raise CallError(f"index out of range: {key}")
    return key


def _slice(value: object, *ends: object) -> object:
    if len(ends) > 3:
        raise CallError(f"too many slice indexes: {len(ends)}")
    if not isinstance(value, str | list | tuple):
        raise CallError("slice of untyped nil" if value is None else f"can't slice item of type {type_name(value)}")
    if isinstance(value, str) and len(ends) == 3:
        raise CallError("cannot 3-index slice a string")
    body = utf8(value) if isinstance(value, str) else value
    bounds = [_position(end, len(body)) for end in ends]
    for low, high in pairwise(bounds):
        if low > high:
            raise CallError(f"invalid slice index: {low} > {high}")
    part = body[slice(*(bounds + [0, len(body)][len(bounds) :])[:2])]
    return part.decode("utf-8", "replace") if isinstance(part, bytes) else part


def _call(function: object, *arguments: object) -> object:
    if function is None:
        raise CallError("call of nil")
    if not callable(function):
        raise CallError(f"non-function of type {type_name(function)}")
    return function(*arguments)


def _print(*values: object) -> str:
    """A space between two that are no strings."""
    pieces: list[str] = []
    for index, value in enumerate(values):
        if index and not isinstance(value, str) and not isinstance(values[index - 1], str):
            pieces.append(" ")
        pieces.append(show(value))
    return _joined(pieces)


def _println(*values: object) -> str:
    return _joined([" ".join(show(value) for value in values), "\n"])


def _joined(pieces: list[str], separator: str = "") -> str:
    if sum(map(len, pieces)) + len(pieces) * len(separator) > LARGEST:
        raise CallError(f"the result is longer than {LARGEST} characters")
    return separator.join(pieces)


def _split(text: str, separator: str) -> list[str]:
    return text.split(separator) if separator else list(text)


def _title(text: str) -> str:
    """A letter is raised unless a letter, digit or underscore stands before it."""
    return "".join(
        [
            char if before.isalnum() or before == "_" else _one(char.title(), char)
            for before, char in zip(" " + text, text, strict=False)
        ]
    )


def _one(changed: str, char: str) -> str:
    """Go changes case letter by letter: what would become two letters stays."""
    return changed if len(changed) == 1 else char


def _pad(text: str, before: int, after: int) -> str:
    if before < 0 or after < 0:
        raise CallError("strings: negative Repeat count")
    if before + after > LARGEST:
        raise CallError(f"the result is longer than {LARGEST} characters")
    return " " * before + text + " " * after if text else text


def _truncate(text: str, most: int) -> str:
    data = utf8(text)
    if most < 0:
        raise CallError(f"runtime error: slice bounds out of range [:{most}]")
    return text if len(data) < most else data[:most].decode("utf-8", "replace")


def _escaper(escape: Callable[[str], str]) -> Callable[..., str]:
    """These print what is nil as an action does what is missing, not as print does."""
    return lambda *values: escape(_print(*(NO_VALUE if value is None else value for value in values)))


FUNCTIONS: dict[str, Function] = {
    # and, or: the evaluator stops at the first argument that decides, and calls neither.
    "and": Function(lambda value: value, ("value", "value"), True),
    "or": Function(lambda value: value, ("value", "value"), True),
    "not": Function(lambda value: not truth(value), ("any",)),
    "len": Function(_length, ("any",)),
    "index": Function(_index, ("any", "any"), True),
    "slice": Function(_slice, ("any", "any"), True),
    "call": Function(_call, ("any", "any"), True),
    "print": Function(_print, ("any",), True),
    "println": Function(_println, ("any",), True),
    "printf": Function(sprintf, ("string", "any"), True),
    "html": Function(_escaper(html), ("value",), True),
    "js": Function(_escaper(js), ("value",), True),
    "urlquery": Function(_escaper(urlquery), ("value",), True),
    "eq": Function(equal, ("any", "any"), True),
    **{name: Function(compare, ("any", "any")) for name, compare in COMPARISONS.items()},
    "json": Function(encode, ("any",)),
    "split": Function(_split, ("string", "string")),
    "join": Function(lambda items, separator: _joined(items or [], separator), ("strings", "string")),
    "title": Function(_title, ("string",)),
    "lower": Function(lambda text: "".join([_one(char.lower(), char) for char in text]), ("string",)),
    "upper": Function(lambda text: "".join([_one(char.upper(), char) for char in text]), ("string",)),
    "pad": Function(_pad, ("string", "int", "int")),
    "truncate": Function(_truncate, ("string", "int")),
}
