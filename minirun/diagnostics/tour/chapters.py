"""Read the chapters: Markdown text, split into paragraphs and commands."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_DIRECTORY = Path(__file__).with_name("chapters")
_FENCE = "```"


@dataclass(frozen=True)
class Prose:
    """A paragraph or a heading, as Markdown."""

    text: str


@dataclass(frozen=True)
class Commands:
    """The commands of one code block."""

    lines: tuple[str, ...]  # one shell command each, without the prompt


@dataclass(frozen=True)
class Chapter:
    """One chapter of the tour."""

    name: str  # the file's name without its suffix: 1-two-namespaces
    parts: tuple[Prose | Commands, ...]

    @property
    def number(self) -> int:
        """The number that the name begins with."""
        return int(self.name.partition("-")[0])

    @property
    def title(self) -> str:
        """The first heading."""
        heading = self.parts[0]
        return heading.text.removeprefix("# ") if isinstance(heading, Prose) else self.name


def chapters() -> list[Chapter]:
    """Read all chapters, sorted by number."""
    unsorted = [Chapter(path.stem, tuple(parts(path.read_text()))) for path in _DIRECTORY.glob("*.md")]
    return sorted(unsorted, key=lambda chapter: chapter.number)


def parts(text: str) -> Iterator[Prose | Commands]:
    """Split Markdown text into paragraphs and code blocks, in order."""
    paragraph: list[str] = []
    commands: list[str] | None = None
    for line in text.splitlines():
        if line.startswith(_FENCE):
            if commands is None:
                yield from _prose(paragraph)
                paragraph, commands = [], []
            else:
                yield Commands(tuple(commands))
                commands = None
        elif commands is not None:
            commands.append(line.removeprefix("$ "))
        elif line.strip():
            paragraph.append(line)
        else:
            yield from _prose(paragraph)
            paragraph = []
    yield from _prose(paragraph)


def _prose(lines: list[str]) -> Iterator[Prose]:
    if lines:
        yield Prose("\n".join(lines))
