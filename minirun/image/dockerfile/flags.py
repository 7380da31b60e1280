"""The flags of an instruction: `--name=value` between its name and its arguments."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

from minirun.errors import MinirunError
from minirun.image.dockerfile.source import suggestion


class FlagKind(Enum):
    """What a flag takes."""

    SWITCH = "true, false or nothing"
    VALUE = "one value"
    VALUES = "a value each time it is given"


@dataclass(frozen=True)
class Flags:
    """The flags that an instruction was given."""

    values: Mapping[str, tuple[str, ...]]

    def value(self, name: str, default: str = "") -> str:
        """Return a flag's value, or the default when the flag was not given."""
        return self.values[name][0] if name in self.values else default

    def all(self, name: str) -> tuple[str, ...]:
        """Return the values of a flag that may be given several times."""
        return self.values.get(name, ())

    def switch(self, name: str) -> bool | None:
        """Return the state of a switch, None when it was not given."""
        return self.value(name) == "true" if name in self.values else None


def parse_flags(texts: Iterable[str], known: Mapping[str, FlagKind]) -> Flags:
    """Parse flags such as --from=build. MinirunError for unknown, repeated and incomplete ones."""
    values: dict[str, tuple[str, ...]] = {}
    for text in texts:
        flag, equals, value = text.partition("=")
        name = flag.removeprefix("--")
        kind = known.get(name)
        if kind is None:
            raise MinirunError(f"unknown flag: {flag}{suggestion(name, known)}")
        if name in values and kind is not FlagKind.VALUES:
            raise MinirunError(f"duplicate flag specified: {flag}")
        if kind is FlagKind.SWITCH:
            value = _switch(flag, equals, value)
        elif not equals:
            raise MinirunError(f"missing a value on flag: {flag}")
        values[name] = (*values.get(name, ()), value)
    return Flags(values)


def _switch(flag: str, equals: str, value: str) -> str:
    if equals and not value:
        raise MinirunError(f"missing a value on flag: {flag}")
    if value.lower() not in ("", "true", "false"):
        raise MinirunError(f"expecting boolean value for flag {flag}, not: {value}")
    return value.lower() or "true"


def take_flags(line: str, escape: str, space: str) -> tuple[tuple[str, ...], str]:
    """Take the flags off the start of a line. Return them, without quotes and escapes, and the rest of the line."""
    flags: list[str] = []
    word, quote, position, is_empty_word = "", "", 0, False
    in_word = False
    while position < len(line):
        char = line[position]
        position += 1
        if not in_word:
            if char in space:
                continue
            if not line.startswith("--", position - 1):
                return tuple(flags), line[position - 1 :]
            in_word = True
        if char == quote:
            quote = ""
        elif not quote and char in "'\"":
            quote, is_empty_word = char, True
        elif not quote and char in space:
            if word == "--":
                return tuple(flags), line[position - 1 :]
            flags += [word] if word or is_empty_word else []
            word, is_empty_word, in_word = "", False, False
        else:
            if char == escape:
                char, position = line[position : position + 1], position + 1
            word += char
    if word != "--" and (word or is_empty_word):
        flags.append(word)
    return tuple(flags), ""
