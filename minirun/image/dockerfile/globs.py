"""Patterns of file names and of `${name#pattern}`: three syntaxes, one matcher.

A pattern is a tuple of tokens. The matcher follows all positions that a pattern can have reached at once, so that no
pattern takes exponential time, however many wildcards it has.

https://pkg.go.dev/path/filepath#Match (COPY), https://pkg.go.dev/github.com/moby/patternmatcher (.dockerignore),
https://docs.docker.com/reference/dockerfile/#environment-replacement (${name#pattern})
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from functools import cache

from minirun.errors import MinirunError

_NOT_SLASH, _NOT_NEWLINE, _ANY, _NONE = "[^/]", "[^\n]", r"[\s\S]", r"[^\s\S]"
_FAST_WILDCARDS = 2  # that many cost `re` at most the square of a path's length
_MOST_WORK = 20_000_000  # tokens x characters, about a second


class Kind(Enum):
    """What a token matches."""

    TEXT = "its text"
    ONE = "one character of its set"
    MANY = "any number of characters of its set"
    DIRECTORIES = "nothing, or anything that ends with a slash"


@dataclass(frozen=True)
class Token:
    """A part of a pattern. `text` is the literal text, or a regular expression for one character of the set."""

    kind: Kind
    text: str = ""


Pattern = tuple[Token, ...]
_DIRECTORIES = Token(Kind.DIRECTORIES)


def file_pattern(text: str) -> Pattern:
    """Parse a pattern of Go's filepath.Match: `*`, `?`, `[a-z]`, `[^a-z]` and `\\` before a character.

    MinirunError "syntax error in pattern" for an open class or a backslash at the end.
    """
    return _tokens(text, double_star=False)


def ignore_pattern(text: str) -> Pattern:
    """Parse a pattern of .dockerignore: as filepath.Match, and `**` matches any number of directories.

    As in Docker, `**name` without a slash or another wildcard matches every path that ends with `name`.
    """
    if text.startswith("**") and not set(text[2:]) & set("*?[]\\/") and text != "**":
        return (Token(Kind.MANY, _ANY), Token(Kind.TEXT, text[2:]))
    return _tokens(text, double_star=True)


def shell_pattern(text: str) -> Pattern:
    """Parse the pattern of `${name#pattern}`: `*`, `?`, and `\\` before one of `*`, `?`, `\\`, `}` and `/`."""
    tokens: list[Token] = []
    position = 0
    while position < len(text):
        char = text[position]
        position += 1
        if char == "\\":
            escaped = text[position : position + 1]
            if not escaped or escaped not in "*?\\}/":
                raise MinirunError(f"invalid pattern ({text}) in substitution: invalid escape '\\{escaped}'")
            tokens.append(Token(Kind.TEXT, escaped))
            position += 1
        elif char in "*?":
            tokens.append(Token(Kind.MANY if char == "*" else Kind.ONE, _NOT_NEWLINE))
        else:
            tokens.append(Token(Kind.TEXT, char))
    return _joined(tokens)


def matches(pattern: Pattern, text: str) -> bool:
    """Return whether the pattern matches the whole text."""
    if sum(token.kind in (Kind.MANY, Kind.DIRECTORIES) for token in pattern) <= _FAST_WILDCARDS:
        return _regex("".join(map(_as_regex, pattern))).fullmatch(text) is not None
    return len(text) in ends(pattern, text, (0,))


def ends(pattern: Pattern, text: str, starts: Iterable[int]) -> set[int]:
    """Return where a match of the pattern that begins at one of `starts` can end."""
    if len(pattern) * len(text) > _MOST_WORK:
        raise MinirunError("the pattern and the text that it is compared with are too long")
    positions = set(starts)
    for token in pattern:
        if not positions:
            break
        positions = _step(token, text, positions)
    return positions


def reverse(pattern: Pattern) -> Pattern:
    """Return the pattern that matches the reversed text; not for patterns with `**`."""
    return tuple(
        Token(token.kind, token.text[::-1] if token.kind is Kind.TEXT else token.text) for token in pattern[::-1]
    )


def has_wildcards(text: str) -> bool:
    """Return whether a path of COPY is a pattern: it has a `*`, `?` or `[` that is not escaped."""
    return re.search(r"[*?\[]", re.sub(r"\\[\s\S]", "", text)) is not None


def _step(token: Token, text: str, positions: set[int]) -> set[int]:
    match token.kind:
        case Kind.TEXT:
            length = len(token.text)
            return {position + length for position in positions if text.startswith(token.text, position)}
        case Kind.ONE:
            one = _regex(token.text)
            return {position + 1 for position in positions if one.match(text, position)}
        case Kind.DIRECTORIES:
            first = min(positions)
            return positions | {found.end() for found in _regex("/").finditer(text, first)}
    many = _regex(token.text + "*")
    reached: set[int] = set()
    covered = -1
    for position in sorted(positions):
        if position > covered:  # otherwise an earlier position already reached everything that this one can
            found = many.match(text, position)
            covered = found.end() if found else position
            reached.update(range(position, covered + 1))
    return reached


def _as_regex(token: Token) -> str:
    match token.kind:
        case Kind.TEXT:
            return re.escape(token.text)
        case Kind.ONE:
            return token.text
        case Kind.MANY:
            return token.text + "*"
    return f"(?:{_ANY}*/)?"


@cache
def _regex(text: str) -> re.Pattern[str]:
    return re.compile(text)


def _tokens(text: str, double_star: bool) -> Pattern:
    tokens: list[Token] = []
    position = 0
    while position < len(text):
        char = text[position]
        position += 1
        if double_star and text.startswith("**", position - 1):
            position += 2 if text.startswith("/", position + 1) else 1
            tokens.append(_DIRECTORIES if position < len(text) else Token(Kind.MANY, _ANY))
        elif char in "*?":
            tokens.append(Token(Kind.MANY if char == "*" else Kind.ONE, _NOT_SLASH))
        elif char == "[":
            characters, position = _class(text, position)
            tokens.append(Token(Kind.ONE, characters))
        else:
            if char == "\\":
                char, position = _character(text, position - 1)
            tokens.append(Token(Kind.TEXT, char))
    return _joined(tokens)


def _class(text: str, position: int) -> tuple[str, int]:
    """Parse a class after its bracket. Return a regular expression for it and the position after it."""
    negated = text.startswith("^", position)
    position += negated
    ranges: list[str] = []
    while not ranges or not text.startswith("]", position):
        low, position = _character(text, position, "-]")
        high = low
        if text.startswith("-", position):
            high, position = _character(text, position + 1, "-]")
        ranges.append(f"{re.escape(low)}-{re.escape(high)}" if low <= high else "")  # an empty range matches nothing
    inside = "".join(ranges)
    if not inside:
        return _ANY if negated else _NONE, position + 1
    return f"[{'^' if negated else ''}{inside}]", position + 1


def _character(text: str, position: int, forbidden: str = "") -> tuple[str, int]:
    """Parse one character, which a backslash may precede. Return it and the position after it."""
    if text.startswith("\\", position):
        position, forbidden = position + 1, ""
    if position >= len(text) or text[position] in forbidden:
        raise MinirunError(f"syntax error in pattern: {text}")
    return text[position], position + 1


def _joined(tokens: list[Token]) -> Pattern:
    """Join neighbours that are text, and wildcards that repeat."""
    joined: list[Token] = []
    for token in tokens:
        if joined and token.kind is Kind.TEXT and joined[-1].kind is Kind.TEXT:
            joined[-1] = Token(Kind.TEXT, joined[-1].text + token.text)
        elif not joined or token.kind in (Kind.TEXT, Kind.ONE) or token != joined[-1]:
            joined.append(token)
    return tuple(joined)
