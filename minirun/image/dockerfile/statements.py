"""A Dockerfile's text, split into statements: parser directives, comments, continuation lines and here-documents.

https://docs.docker.com/reference/dockerfile/
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from minirun.errors import MinirunError
from minirun.image.dockerfile.flags import take_flags
from minirun.image.dockerfile.source import Lines, Source
from minirun.image.dockerfile.words import SPACE, Syntax, expand_words

_DIRECTIVE = re.compile(rf"#[{SPACE}]*([a-zA-Z][a-zA-Z0-9]*)[\t\n\f\r ]*=(.+)\Z")
_DIRECTIVES = ("check", "escape", "syntax")
BLANKS = re.compile(r"[\t\v\f\r ]+")
_HEREDOC = re.compile(r"([0-9]*)<<(-?)[\t\n\f\r ]*([^<]*)\Z")
_WITH_HEREDOCS = ("ADD", "COPY", "RUN")
_REPLACED = re.compile("[\ud800-\udfff]")  # half a UTF-16 pair, which Go's JSON replaces
_LONGEST_LINE = 65535  # bytes, as in BuildKit
_BOM = "\ufeff"


@dataclass(frozen=True)
class Heredoc:
    """A here-document: `<<NAME`, its lines, and a line that is NAME."""

    name: str
    content: str
    expands: bool = True  # False: the name was quoted
    strips_tabs: bool = False  # <<-
    fd: int = 0  # 3<<NAME

    @property
    def text(self) -> str:
        """The content, without leading tabs if they are to be stripped."""
        return re.sub(r"(?m)^\t+", "", self.content) if self.strips_tabs else self.content


@dataclass(frozen=True)
class Statement:
    """One instruction as it is written: its continuation lines joined, its flags apart."""

    name: str  # as written: instructions may be in lower case
    flags: tuple[str, ...]
    arguments: str
    text: str  # the whole line
    lines: Lines
    heredocs: tuple[Heredoc, ...] = ()


@dataclass(frozen=True)
class Script:
    """The statements of a Dockerfile and its parser directives."""

    source: Source
    statements: tuple[Statement, ...]
    directives: dict[str, str]
    empty_continuations: tuple[Lines, ...] = ()  # statements with an empty line in the middle

    @property
    def escape(self) -> str:
        """The character that escapes and continues lines."""
        return self.directives.get("escape", "\\")


def read(source: Source) -> Script:
    """Split a Dockerfile into statements. DockerfileError with the line at fault."""
    return _Reader(source).read()


def statement(text: str, escape: str, lines: Lines) -> Statement:
    """Split one line, whose continuations are joined, into the name of the instruction, its flags and arguments."""
    name, *rest = BLANKS.split(text.strip(SPACE), maxsplit=1)
    flags, arguments = take_flags(rest[0], escape, SPACE) if rest else ((), "")
    return Statement(name, flags, arguments.strip(SPACE), text, lines)


def find_heredoc(word: str) -> Heredoc | None:
    """Return the here-document that a word such as <<EOF or 3<<-"EOF" opens, still empty."""
    match = _HEREDOC.match(word)
    if match is None or not match[3]:
        return None
    names = expand_words(match[3], {}, Syntax(keep_unset=True))
    if len(names) != 1:
        return None
    raw = expand_words(match[3], {}, Syntax(keep_unset=True, keep_quotes=True))
    is_quoted = sum(map("".join(raw).count, "'\"")) != sum(map(names[0].count, "'\""))
    return Heredoc(names[0], "", not is_quoted, match[2] == "-", int(match[1][:9] or 0))


def heredocs_in(line: str) -> list[Heredoc]:
    """Return the here-documents that a line opens, in order. A line with an open quote opens none."""
    try:
        words = expand_words(line, {}, Syntax(keep_quotes=True, keep_escapes=True, keep_unset=True))
    except MinirunError:
        return []
    return [heredoc for word in words if (heredoc := find_heredoc(word))]


def exec_form(text: str) -> tuple[str, ...] | None:
    """Parse the exec form, such as ["a", "b"]. Return None for anything else: that is the shell form.

    MinirunError for a JSON array of other things than strings.
    """
    text = text.lstrip(SPACE)
    if not text.startswith("["):
        return None
    try:
        words = json.loads(text, parse_int=str.__len__, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return None
    if not all(isinstance(word, str) for word in words):
        raise MinirunError("when using JSON array syntax, arrays must be comprised of strings only")
    return tuple(_REPLACED.sub("\ufffd", word) for word in words)


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


class _Reader:
    def __init__(self, source: Source) -> None:
        self._source = source
        self._lines = source.text.removeprefix(_BOM).split("\n")
        if self._lines[-1] == "":
            self._lines.pop()
        self._number = 0  # of lines read
        self._directives: dict[str, str] = {}
        self._before_directives_end = True
        self._empty_continuations: list[Lines] = []

    def read(self) -> Script:
        if not self._source.text:
            raise MinirunError("the Dockerfile cannot be empty")
        for number, line in enumerate(self._lines, 1):
            if "\0" in line:
                self._source.refuse("the Dockerfile has a NUL byte", Lines(number, number), "save it as UTF-8 text")
            if len(line) * 4 > _LONGEST_LINE and len(line.encode("utf-8", "surrogateescape")) > _LONGEST_LINE:
                lines = Lines(number, number)
                self._source.refuse(f"dockerfile line greater than max allowed size of {_LONGEST_LINE}", lines)
        statements = tuple(self._statements())
        if not statements:
            raise MinirunError("file with no instructions")
        return Script(self._source, statements, self._directives, tuple(self._empty_continuations))

    @property
    def _escape(self) -> str:
        return self._directives.get("escape", "\\")

    def _statements(self) -> Iterator[Statement]:
        while self._number < len(self._lines):
            line = self._next().lstrip(SPACE)
            first = self._number
            with self._source.blames(Lines(first, first), is_syntax=True):
                self._read_directive(line)
            if line.startswith("#"):
                continue
            if not line:
                continue
            text = self._joined(line)
            with self._source.blames(Lines(first, self._number), is_syntax=True):
                result = statement(text, self._escape, Lines(first, self._number))
                result = replace(result, heredocs=tuple(self._heredocs(result)))
            yield replace(result, lines=Lines(first, self._number))

    def _next(self) -> str:
        self._number += 1
        return self._lines[self._number - 1].rstrip("\r\n")

    def _read_directive(self, line: str) -> None:
        """Record a line such as `# escape=\\``. They stand before everything else, comments too."""
        match = _DIRECTIVE.match(line) if self._before_directives_end else None
        name = match[1].lower() if match else ""
        if match is None or name not in _DIRECTIVES:
            self._before_directives_end = False
            return
        if name in self._directives:
            raise MinirunError(f"only one {name} parser directive can be used")
        value = match[2].strip("\t\n\f\r ") or " "
        if name == "escape" and value not in ("\\", "`"):
            raise MinirunError(f"invalid escape token '{value}' does not match ` or \\")
        self._directives[name] = value

    def _joined(self, line: str) -> str:
        """Join a line with those that continue it."""
        first, has_empty = self._number, False
        escape = re.escape(self._escape)
        continuation = re.compile(rf"(?:(?<=[^{escape}])|^){escape}[ \t]*\Z")
        text = continuation.sub("", line)
        parts, continues = [text], text != line
        while continues and self._number < len(self._lines):
            line = self._next()
            stripped = line.lstrip(SPACE)
            if stripped and not stripped.startswith("#"):
                text = continuation.sub("", line)
                parts.append(text)
                continues = text != line
            has_empty |= not stripped
        if has_empty:
            self._empty_continuations.append(Lines(first, self._number))
        return "".join(parts)

    def _heredocs(self, opened: Statement) -> Iterator[Heredoc]:
        inner = opened
        if opened.name.upper() == "ONBUILD":
            inner = statement(opened.arguments, self._escape, opened.lines)
        if inner.name.upper() not in _WITH_HEREDOCS or "<<" not in opened.text:
            return
        if exec_form(inner.arguments) is None:
            for heredoc in heredocs_in(opened.text):
                yield replace(heredoc, content=self._content(heredoc))

    def _content(self, heredoc: Heredoc) -> str:
        content: list[str] = []
        while self._number < len(self._lines):
            content.append(self._lines[self._number] + "\n")
            line = self._next()
            if (line.lstrip("\t") if heredoc.strips_tabs else line) == heredoc.name:
                return "".join(content[:-1])
        raise MinirunError("unterminated heredoc")
