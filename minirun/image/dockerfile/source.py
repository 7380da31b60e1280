"""Errors that show the lines of a Dockerfile, as BuildKit words them."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NoReturn

from minirun.errors import MinirunError, printable

_FAR = 3  # single-character edits; a suggestion has fewer
_LONGEST = 80  # characters of a word that gets a suggestion: comparing takes the product of two lengths


@dataclass(frozen=True, order=True)
class Lines:
    """Lines of a file, both included, counted from 1."""

    first: int
    last: int


class DockerfileError(MinirunError):
    """An error in a Dockerfile.

    `lines` are the lines at fault, `excerpt` shows them in their file: several lines to print above the message.
    """

    def __init__(self, message: str, hint: str = "", lines: Lines | None = None, excerpt: str = "") -> None:
        super().__init__(message, hint)
        self.lines = lines
        self.excerpt = excerpt


@dataclass(frozen=True)
class Source:
    """A Dockerfile's name, as errors show it, and its text."""

    name: str
    text: str

    def excerpt(self, lines: Lines) -> str:
        """Show some lines, marked, with a few around them. "" when there are no such lines."""
        texts = self.text.split("\n")
        first, last = lines.first, min(lines.last, len(texts))
        if not 1 <= first <= last:
            return ""
        context = 2 if last == first else 1
        first, last = max(1, first - context), min(len(texts), last + context)
        rule = "--------------------"
        shown = [
            f" {number:3d} | {'>>>' if lines.first <= number <= lines.last else '   '} {_one_line(texts[number - 1])}"
            for number in range(first, last + 1)
        ]
        return "\n".join([f"{self.name}:{lines.first}", rule, *shown, rule])

    @contextmanager
    def blames(self, lines: Lines, is_syntax: bool = False) -> Iterator[None]:
        """Add the lines to a MinirunError of the block; `is_syntax`: put their number before its message."""
        try:
            yield
        except MinirunError as error:
            known = error.lines if isinstance(error, DockerfileError) else None
            if known is not None:
                raise
            prefix = f"dockerfile parse error on line {lines.first}: " if is_syntax else ""
            raise DockerfileError(prefix + error.message, error.hint, lines, self.excerpt(lines)) from error

    def refuse(self, message: str, lines: Lines, hint: str = "") -> NoReturn:
        """Raise the error that these lines cause."""
        raise DockerfileError(message, hint, lines, self.excerpt(lines))


def suggestion(word: str, options: Iterable[str]) -> str:
    """Return " (did you mean X?)" when one of the options is less than three edits away, else ""."""
    shown = str.lower if word == word.lower() else str.upper if word == word.upper() else str
    best, nearest = "", _FAR
    for option in sorted(options):
        distance = _distance(word.lower(), option.lower())
        if distance == 0:
            return ""
        if distance < nearest:
            best, nearest = option, distance
    return f" (did you mean {shown(best)}?)" if best else ""


def _distance(word: str, other: str) -> int:
    """Count the single-character edits between two words; _FAR or more means far apart."""
    if abs(len(word) - len(other)) >= _FAR or len(word) > _LONGEST:
        return _FAR
    row = list(range(len(other) + 1))
    for number, char in enumerate(word, 1):
        corner, row[0] = row[0], number
        for column, other_char in enumerate(other, 1):
            corner, row[column] = row[column], min(row[column] + 1, row[column - 1] + 1, corner + (char != other_char))
    return row[-1]


def _one_line(text: str) -> str:
    return "\t".join(printable(part) for part in text.rstrip("\r").split("\t"))
