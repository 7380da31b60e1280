"""From a chapter's text to its parts."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_CHAPTERS = Path(__file__).with_name("chapters")
_FENCE = "```"


@dataclass(frozen=True)
class Prose:
    text: str  # a paragraph, or a heading


@dataclass(frozen=True)
class Commands:
    lines: tuple[str, ...]  # each for a shell


@dataclass(frozen=True)
class Chapter:
    name: str  # of its file: 1-two-namespaces
    parts: tuple[Prose | Commands, ...]

    @property
    def number(self) -> int:
        return int(self.name.partition("-")[0])

    @property
    def title(self) -> str:
        first = self.parts[0]
        return first.text.removeprefix("# ") if isinstance(first, Prose) else self.name


def chapters() -> list[Chapter]:
    """In their order."""
    found = [Chapter(path.stem, tuple(parts(path.read_text()))) for path in _CHAPTERS.glob("*.md")]
    return sorted(found, key=lambda one: one.number)


def parts(text: str) -> Iterator[Prose | Commands]:
    """Paragraphs and code blocks, as they come."""
    pending: list[str] = []
    commands: list[str] | None = None
    for line in text.splitlines():
        if line.startswith(_FENCE):
            if commands is None:
                yield from _prose(pending)
                pending, commands = [], []
            else:
                yield Commands(tuple(commands))
                commands = None
        elif commands is not None:
            commands.append(line.removeprefix("$ "))
        elif line.strip():
            pending.append(line)
        else:
            yield from _prose(pending)
            pending = []
    yield from _prose(pending)


def _prose(lines: list[str]) -> Iterator[Prose]:
    if lines:
        yield Prose("\n".join(lines))
