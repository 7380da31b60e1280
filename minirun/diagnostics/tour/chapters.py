"""Read the chapters: Markdown text, split into paragraphs, commands and questions."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

_DIRECTORY = Path(__file__).with_name("chapters")
_FENCE = "```"
_FAILS = "fails"  # after the fence: each command of the block is expected to fail
_QUESTION = "> "
LEARNED = "Learned: "  # begins the last paragraph


@dataclass(frozen=True)
class Prose:
    """A paragraph or a heading, as Markdown."""

    text: str


@dataclass(frozen=True)
class Commands:
    """The commands of one code block."""

    lines: tuple[str, ...]  # one shell command each, without the prompt
    fails: bool = False  # whether each is expected to fail


@dataclass(frozen=True)
class Question:
    """A question to think about before the text goes on."""

    text: str


Part: TypeAlias = Prose | Commands | Question


@dataclass(frozen=True)
class Chapter:
    """One chapter of the tour."""

    name: str  # the file's name without its suffix: 1-two-namespaces
    parts: tuple[Part, ...]

    @property
    def number(self) -> int:
        """The number that the name begins with."""
        return int(self.name.partition("-")[0])

    @property
    def title(self) -> str:
        """The first heading."""
        return self._prose[0].removeprefix("# ")

    @property
    def learned(self) -> str:
        """What a reader has learned at its end: the last paragraph."""
        text = " ".join(self._prose[-1].removeprefix(LEARNED).split())
        return text[:1].upper() + text[1:]

    @property
    def steps(self) -> int:
        """How many blocks of commands it has."""
        return sum(isinstance(part, Commands) for part in self.parts)

    @property
    def _prose(self) -> list[str]:
        return [part.text for part in self.parts if isinstance(part, Prose)]


def chapters() -> list[Chapter]:
    """Read all chapters, sorted by number."""
    unsorted = [Chapter(path.stem, tuple(parts(path.read_text()))) for path in _DIRECTORY.glob("*.md")]
    return sorted(unsorted, key=lambda chapter: chapter.number)


def parts(text: str) -> Iterator[Part]:
    """Split Markdown text into paragraphs, questions and code blocks, in order."""
    paragraph: list[str] = []
    commands: list[str] | None = None
    fails = False
    for line in text.splitlines():
        if line.startswith(_FENCE):
            if commands is None:
                yield from _paragraph(paragraph)
                paragraph, commands = [], []
                fails = line.removeprefix(_FENCE) == _FAILS
            else:
                yield Commands(tuple(commands), fails)
                commands = None
        elif commands is not None:
            commands.append(line.removeprefix("$ "))
        elif line.strip():
            paragraph.append(line)
        else:
            yield from _paragraph(paragraph)
            paragraph = []
    yield from _paragraph(paragraph)


def _paragraph(lines: list[str]) -> Iterator[Part]:
    if lines and lines[0].startswith(_QUESTION):
        yield Question(" ".join(line.removeprefix(_QUESTION) for line in lines))
    elif lines:
        yield Prose("\n".join(lines))
