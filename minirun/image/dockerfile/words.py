"""The words of a Dockerfile's line: quotes, escapes, and variables as BuildKit expands them.

    $name  ${name}            the value, or nothing
    ${name-word}  ${name+word}  ${name?message}   default, alternative, error; after a colon, empty counts as unset
    ${name#pattern}  ${name##pattern}  ${name%pattern}  ${name%%pattern}   the value without what the pattern matches
    ${name/pattern/text}  ${name//pattern/text}   the value with the first match, or all, replaced

https://docs.docker.com/reference/dockerfile/#environment-replacement
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from minirun.errors import MinirunError
from minirun.image.dockerfile import substitution

# Go's unicode.IsSpace. Python's str.isspace() has four control characters more.
SPACE = "\t\n\v\f\r \x85\xa0\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + "\u2028\u2029\u202f\u205f\u3000"
SPACES = re.compile(f"[{SPACE}]+")
_PLAIN = re.compile(r"[^$<'\"\\`}/]+")
_NAME = re.compile(r"\d+|[@*#?\-$!]|\w+")
_HEREDOC = re.compile(r"<<[\t\r ]*")
_DEEPEST = 50
_LONGEST = 1 << 20  # characters that variables may add to one text: `ENV a=$a$a` doubles with each line

_Piece = tuple[str, bool]  # a part of the result, and whether white space in it separates words


@dataclass(frozen=True)
class Syntax:
    """What to expand and what to keep."""

    escape: str = "\\"
    keep_quotes: bool = False
    keep_escapes: bool = False
    keep_unset: bool = False  # variables that are not set stay as they are written
    quotes: bool = True  # False: quotes are ordinary characters


_DEFAULT = Syntax()


def expand(text: str, variables: Mapping[str, str], syntax: Syntax = _DEFAULT, unset: set[str] | None = None) -> str:
    """Remove quotes and escapes, and expand variables except in single quotes.

    The names of variables that are not set are added to `unset`. MinirunError for an open quote or a wrong `${...}`.
    """
    return "".join(piece for piece, _ in _pieces(text, variables, syntax, unset))


def expand_words(
    text: str, variables: Mapping[str, str], syntax: Syntax = _DEFAULT, unset: set[str] | None = None
) -> list[str]:
    """Expand the text, then split it at white space that is neither quoted nor escaped."""
    words, word = [], ""
    for piece, is_splittable in _pieces(text, variables, syntax, unset):
        first, *more = SPACES.split(piece) if is_splittable else [piece]
        word += first
        for part in more:
            words.append(word)
            word = part
    return [word for word in [*words, word] if word]


def split(text: str, escape: str = "\\") -> list[str]:
    """Split at white space that is neither quoted nor escaped. Quotes and escapes stay in the words."""
    words: list[str] = []
    word, quote, position = "", "", 0
    while position < len(text):
        char = text[position]
        position += 1
        if char == escape and quote != "'":
            if position < len(text):  # at the end of the line it is dropped
                word, position = word + char + text[position], position + 1
            continue
        if quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        elif char in SPACE:
            words += [word] if word else []
            word = ""
            continue
        word += char
    return [*words, word] if word else words


def _pieces(text: str, variables: Mapping[str, str], syntax: Syntax, unset: set[str] | None) -> list[_Piece]:
    scanner = _Scanner(text, variables, syntax, set() if unset is None else unset)
    try:
        return scanner.until("", syntax.keep_escapes)
    except MinirunError as error:
        shown = text if len(text) <= 200 else text[:200] + "..."
        raise MinirunError(f"failed to process {json.dumps(shown, ensure_ascii=False)}: {error.message}") from None


@dataclass
class _Scanner:
    text: str
    variables: Mapping[str, str]
    syntax: Syntax
    unset: set[str]
    position: int = field(default=0, init=False)
    _depth: int = field(default=0, init=False)
    _expanded: int = field(default=0, init=False)

    def until(self, stop: str, keep_escapes: bool) -> list[_Piece]:
        """Expand up to the character `stop`, which is consumed; "" is the end of the text."""
        pieces: list[_Piece] = []
        while self.position < len(self.text):
            char = self.text[self.position]
            if char == stop:
                self.position += 1
                return pieces
            if char == "$":
                pieces.append((self._dollar(), True))
            elif char in "'\"" and self.syntax.quotes:
                pieces.append((self._single() if char == "'" else self._double(keep_escapes), False))
            elif char == self.syntax.escape:
                self.position += 1
                pieces.append(((char if keep_escapes else "") + self._next(), False))
            elif heredoc := _HEREDOC.match(self.text, self.position):  # `<< EOF` is one word
                self.position = heredoc.end()
                pieces.append((heredoc[0], False))
            else:
                plain = _PLAIN.match(self.text, self.position)
                self.position = plain.end() if plain else self.position + 1
                pieces.append((plain[0] if plain else char, True))
        if stop:
            raise MinirunError(f"syntax error: missing '{stop}'" + (" in ${}" if stop == "/" else ""))
        return pieces

    def _next(self) -> str:
        """Consume one character; "" at the end."""
        self.position += 1
        return self.text[self.position - 1 : self.position]

    def _peek(self) -> str:
        return self.text[self.position : self.position + 1]

    def _single(self) -> str:
        end = self.text.find("'", self.position + 1)
        if end < 0:
            raise MinirunError("unexpected end of statement while looking for matching single-quote")
        inside, self.position = self.text[self.position + 1 : end], end + 1
        return f"'{inside}'" if self.syntax.keep_quotes else inside

    def _double(self, keep_escapes: bool) -> str:
        quote = '"' if self.syntax.keep_quotes else ""
        result = [quote]
        self.position += 1
        while char := self._peek():
            if char == "$":
                result.append(self._dollar())
                continue
            self.position += 1
            if char == '"':
                return "".join([*result, quote])
            if char == self.syntax.escape:
                result += [char] if keep_escapes else []
                if not self._peek():
                    break
                char = self._next() if self._peek() in ('"', "$", self.syntax.escape) else char
            result.append(char)
        raise MinirunError("unexpected end of statement while looking for matching double-quote")

    def _dollar(self) -> str:
        self.position += 1
        if self._peek() != "{":
            name = self._name()
            return self._sized(self._value(name) if not self._keeps(name) else "$" + name) if name else "$"
        self.position += 1
        self._depth += 1
        if self._depth > _DEEPEST:
            raise MinirunError(f"variables are nested more than {_DEEPEST} deep")
        result = self._braced()
        self._depth -= 1
        return self._sized(result)

    def _name(self) -> str:
        name = _NAME.match(self.text, self.position)
        self.position = name.end() if name else self.position
        return name[0] if name else ""

    def _braced(self) -> str:
        if not self._peek():
            raise MinirunError("syntax error: missing '}'")
        if self._peek() in "{}:":
            raise MinirunError("syntax error: bad substitution")
        name = self._name()
        modifier = self._next()
        if modifier == "}":
            return f"${{{name}}}" if self._keeps(name) else self._value(name)
        if modifier == "/":
            return self._replaced(name)
        if modifier == ":":
            modifier += self._next()
        if not modifier:
            raise MinirunError("syntax error: missing '}'")
        if modifier not in ("-", "+", "?", "#", "%", ":-", ":+", ":?"):
            raise MinirunError(f"unsupported modifier ({modifier}) in substitution")
        word = self._text_until("}", keep_escapes=modifier in "#%")
        if self._keeps(name):
            return f"${{{name}{modifier}{word}}}"
        value = self._value(name)
        if modifier in "#%":
            return substitution.trimmed(value, word, modifier)
        is_set = bool(value) if modifier[0] == ":" else name in self.variables
        if modifier[-1] == "+":
            return word if is_set else ""
        if modifier[-1] == "?" and not is_set:
            empty = "empty" if name in self.variables else "unset"
            raise MinirunError(f"{name}: {word or f'is not allowed to be {empty}'}")
        return value if is_set else word if modifier[-1] == "-" else ""

    def _replaced(self, name: str) -> str:
        everywhere = self._peek() == "/"
        self.position += everywhere
        pattern = self._text_until("/", keep_escapes=True)
        replacement = self._text_until("}", keep_escapes=True)
        if self._keeps(name):
            return f"${{{name}/{'/' * everywhere}{pattern}/{replacement}}}"
        return substitution.replaced(self._value(name), pattern, replacement, everywhere)

    def _text_until(self, stop: str, keep_escapes: bool) -> str:
        return "".join(piece for piece, _ in self.until(stop, keep_escapes))

    def _keeps(self, name: str) -> bool:
        return self.syntax.keep_unset and name not in self.variables

    def _value(self, name: str) -> str:
        if name not in self.variables:
            self.unset.add(name)
        return self.variables.get(name, "")

    def _sized(self, value: str) -> str:
        self._expanded += len(value)
        if self._expanded > _LONGEST:
            raise MinirunError("its variables expand to more than 1 MiB")
        return value
