"""Text for a terminal: its width and colours, and commands that are folded so that they can still be copied."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass

_WORD = re.compile(r"(?:'[^']*'|[^ '])+")


@dataclass(frozen=True)
class Style:
    """How text is shown. Without colours the sequences are empty."""

    width: int  # of the terminal, in columns
    bold: str = ""
    dim: str = ""
    red: str = ""
    plain: str = ""

    @classmethod
    def of(cls, fd: int) -> "Style":
        """Return the style for an open file: at least 60 and at most 120 columns; 100 without a terminal."""
        try:
            width = max(60, min(120, os.get_terminal_size(fd).columns))
        except OSError:
            width = 100
        if not os.isatty(fd) or "NO_COLOR" in os.environ:
            return cls(width)
        return cls(width, "\033[1m", "\033[2m", "\033[31m", "\033[0m")


def folded(command: str, width: int, indent: str) -> Iterator[str]:
    """Yield the indented lines of a shell command. A long one is continued by a backslash at the end of a line; words
    and here-documents stay whole."""
    if "\n" in command or command.startswith("#"):
        yield from (f"{indent}{line}" for line in command.split("\n"))
        return
    line, more = "", indent + "  "
    for word in _WORD.findall(command):
        if line and len(indent) + len(line) + len(word) + 3 > width >= len(more) + len(word) + 2:
            yield f"{indent}{line} \\"
            line, indent = word, more
        else:
            line = f"{line} {word}" if line else word
    yield f"{indent}{line}"
