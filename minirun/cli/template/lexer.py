"""From the text of a template to tokens, one at a time: an error in the text comes after those before it.

Source: https://pkg.go.dev/text/template, "Text and spaces" and "Actions".
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

SPACES = " \t\r\n"
KEYWORDS = frozenset(["block", "break", "continue", "define", "else", "end", "if", "range", "nil", "template", "with"])

_LEFT = re.compile(r"\{\{(-(?=[ \t\r\n]))?")
_COMMENT = re.compile(r"[ \t\r\n]?/\*")
_COMMENT_END = re.compile(r"([ \t\r\n]-)?\}\}")
_TOKEN = re.compile(
    r"""
      (?P<trim>[ \t\r\n]+-\}\})
    | (?P<right>\}\})
    | (?P<space>[ \t\r\n]+)
    | (?P<number>[+-]?(?:[0-9]DIGITS(?:\.DIGITS)?|\.[0-9]DIGITS))
    | (?P<field>\.\w+)
    | (?P<dot>\.)
    | (?P<variable>\$\w*)
    | (?P<name>\w+)
    | (?P<string>"[^"\\\n]*(?:\\[^\n][^"\\\n]*)*")
    | (?P<raw>`[^`]*`)
    | (?P<char>'[^'\\\n]*(?:\\[^\n][^'\\\n]*)*')
    | (?P<declare>:=)
    | (?P<mark>[!\#%&()*,/;<=>?@[\\\]^{|}~])
    """.replace("DIGITS", r"(?:[0-9A-Za-z_]|(?<=[eEpP])[+-])*"),
    re.VERBOSE,
)
_UNFINISHED = {
    '"': "unterminated quoted string",
    "`": "unterminated raw quoted string",
    "'": "unterminated character constant",
    ":": "expected :=",
}
_AFTER_A_WORD = re.compile(r"[ \t\r\n.,|:)(]|\}\}|\Z")


class Token(NamedTuple):
    """A piece of the template and where it is."""

    kind: str  # text, left, right, space, eof, error, keyword, bool, mark, or a group of _TOKEN
    text: str
    start: int

    @property
    def end(self) -> int:
        """Where it ends."""
        return self.start + len(self.text)

    def __str__(self) -> str:
        """As an error quotes it."""
        if self.kind == "eof":
            return "EOF"
        if self.kind in ("keyword", "dot"):
            return f"<{self.text}>"
        return quoted(self.text[:10]) + ("..." if len(self.text) > 10 else "")


def quoted(text: str) -> str:
    """A text in the quotes of Go's %q."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def lex(text: str) -> Iterator[Token]:
    """All tokens; the last one is an eof or an error."""
    position = 0
    trims = False  # the delimiter before ended in -}}
    while left := _LEFT.search(text, position):
        plain = text[position : left.start()]
        plain = plain.lstrip(SPACES) if trims else plain
        yield Token("text", plain.rstrip(SPACES) if left[1] else plain, position)
        inside = _comment(text, left) if _COMMENT.match(text, left.end()) else _action(text, left)
        for token in inside:
            yield token
        if token.kind == "error":
            return
        position, trims = token.end, "-" in token.text
    rest = text[position:]
    yield Token("text", rest.lstrip(SPACES) if trims else rest, position)
    yield Token("eof", "", len(text))


def _comment(text: str, left: re.Match[str]) -> Iterator[Token]:
    """An empty text that stands for the comment: what matters is where it ends, and whether it trims."""
    start = left.start()
    if not left[1] and text[left.end()] != "/":  # a space before the comment is the trim marker's, or wrong
        yield from _action(text, left)
        return
    stop = text.find("*/", left.end())
    if stop < 0:
        yield Token("error", "unclosed comment", start)
        return
    right = _COMMENT_END.match(text, stop + 2)
    yield (
        Token("comment", right[0], right.start())
        if right
        else Token("error", "comment ends before closing delimiter", start)
    )


def _action(text: str, left: re.Match[str]) -> Iterator[Token]:
    """From {{ to }}. What a trim marker needs after it is a space, which is part of it."""
    yield Token("left", left[0], left.start())
    position = left.end() + bool(left[1])
    depth = 0
    while True:
        token = _token(text, position)
        depth += {"(": 1, ")": -1}.get(token.text, 0) if token.kind == "mark" else 0
        if depth < 0:
            token = Token("error", "unexpected right paren", position)
        if token.kind == "right" and depth:
            token = Token("error", "unclosed left paren", position)
        yield token
        if token.kind in ("right", "error"):
            return
        position = token.end


def _token(text: str, position: int) -> Token:
    match = _TOKEN.match(text, position)
    if match is None:
        return Token("error", _complaint(text, position), position)
    kind, word = str(match.lastgroup), match[0]
    if kind in ("field", "variable", "name") and not _AFTER_A_WORD.match(text, match.end()):
        return Token("error", f"bad character {_named(text[match.end()])}", position)
    if kind == "number" and text[match.end() : match.end() + 1].isalnum():
        return Token("error", f"bad number syntax: {quoted(text[position : match.end() + 1])}", position)
    if kind == "name" and (word in KEYWORDS or word in ("true", "false")):
        kind = "keyword" if word in KEYWORDS else "bool"
    return Token("right" if kind == "trim" else kind, word, position)


def _complaint(text: str, position: int) -> str:
    if position >= len(text):
        return "unclosed action"
    char = text[position]
    if char in "+-":
        return f"bad number syntax: {quoted(text[position : position + 2])}"
    return _UNFINISHED.get(char) or f"unrecognized character in action: {_named(char)}"


def _named(char: str) -> str:
    return f"U+{ord(char):04X}" + (f" '{char}'" if char.isprintable() else "")
