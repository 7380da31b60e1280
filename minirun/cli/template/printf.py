"""printf: Go's verbs, flags, widths, and what it says of a call that is wrong. Source: https://pkg.go.dev/fmt"""

import re
from collections.abc import Callable
from typing import NamedTuple

from minirun.cli.template.encode import encode
from minirun.cli.template.literals import utf8
from minirun.cli.template.values import CallError, Duration, Struct, Time, entries, float_text, show, type_name

LARGEST = 1 << 26  # characters that a template may make

_WIDEST = 10**6  # as Go
_VERB = re.compile(
    r"%(?P<flags>[-+# 0]*)"
    r"(?P<first>\[[^\]]*\])?(?P<width>\*|\d+)?"
    r"(?P<point>\.(?P<second>\[[^\]]*\])?(?P<precision>\*|\d*))?"
    r"(?P<third>\[[^\]]*\])?(?P<verb>.)?",
    re.DOTALL,
)
_INTEGERS = {"d": "d", "v": "d", "b": "b", "o": "o", "O": "o", "x": "x", "X": "X"}
_FORMS = {"b": "0b", "o": "0", "O": "0o", "x": "0x", "X": "0X"}


class Form(NamedTuple):
    """A verb with its flags, width and precision."""

    verb: str
    flags: str = ""
    width: int = 0
    precision: int | None = None

    def pad(self, text: str, fill: str = " ") -> str:
        """Pad to the width."""
        if "-" in self.flags:
            return text.ljust(self.width)
        return text.rjust(self.width, "0" if "0" in self.flags else fill)

    def pad_number(self, sign: str, digits: str) -> str:
        """Zeros go between the sign and the digits."""
        if "0" in self.flags and "-" not in self.flags:
            return sign + digits.rjust(self.width - len(sign), "0")
        return self.pad(sign + digits)


class _Arguments:
    """Those of one call, taken in turn, or by number as in %[2]d."""

    def __init__(self, values: tuple[object, ...]) -> None:
        self._values = values
        self._next = 0
        self._numbered = False
        self.bad = False

    def move(self, index: str | None) -> None:
        if index:
            self._numbered = True
            number = int(index[1:-1]) if re.fullmatch(r"\[[0-9]{1,7}\]", index) else 0
            self.bad = self.bad or not 0 < number <= len(self._values)
            self._next = self._next if self.bad else number - 1

    def left(self) -> bool:
        return 0 <= self._next < len(self._values)

    def take(self) -> object:
        self._next += 1
        return self._values[self._next - 1]

    def extra(self) -> str:
        rest = () if self._numbered else self._values[self._next :]
        return f"%!(EXTRA {', '.join(map(_typed, rest))})" if rest else ""


def sprintf(text: str, *values: object) -> str:
    """Format as Go's fmt.Sprintf does."""
    arguments = _Arguments(values)
    pieces: list[str] = []
    size = position = 0
    for match in _VERB.finditer(text):
        pieces += [text[position : match.start()], _directive(match, arguments)]
        position = match.end()
        size += len(pieces[-1])
        if size > LARGEST:
            raise CallError(f"the result is longer than {LARGEST} characters")
    return "".join([*pieces, text[position:], arguments.extra()])


def _directive(match: re.Match[str], arguments: _Arguments) -> str:
    arguments.bad = False
    wrong, flags = "", match["flags"]
    arguments.move(match["first"])
    width = _size(match["width"], arguments)
    if width is None:
        wrong, width = "%!(BADWIDTH)", 0
    if width < 0:
        flags, width = flags + "-", -width
    arguments.move(match["second"])
    precision = _size(match["precision"] or "0", arguments) if match["point"] else -1
    if precision is None or (precision < 0 and match["point"]):
        wrong, precision = wrong + "%!(BADPREC)", -1
    arguments.move(match["third"])
    verb = match["verb"]
    if verb is None:
        return wrong + "%!(NOVERB)"
    if verb == "%":
        return wrong + "%"
    if arguments.bad:
        return f"{wrong}%!{verb}(BADINDEX)"
    if not arguments.left():
        return f"{wrong}%!{verb}(MISSING)"
    return wrong + form(arguments.take(), Form(verb, flags, width, None if precision < 0 else precision))


def _size(text: str | None, arguments: _Arguments) -> int | None:
    """A width or precision; None if there is none to be had."""
    if text != "*":
        number = int(text[:8]) if text else 0
        return number if number <= _WIDEST else None
    given = arguments.take() if arguments.left() else None
    return given if isinstance(given, int) and not isinstance(given, bool) and abs(given) <= _WIDEST else None


def form(value: object, how: Form) -> str:
    """Format one value by a verb."""
    if how.verb == "T":
        return how.pad(type_name(value))
    if value is None:
        return how.pad("<nil>") if how.verb == "v" else f"%!{how.verb}(<nil>)"
    if isinstance(value, list | tuple):
        return "[" + " ".join([form(item, how) for item in value]) + "]"
    if isinstance(value, Struct):
        names = how.verb == "v" and "+" in how.flags
        fields = [(name, item) for name, item in value.fields.items() if not callable(item)]
        return "{" + " ".join([(f"{name}:" if names else "") + form(item, how) for name, item in fields]) + "}"
    if isinstance(value, dict):
        return "map[" + " ".join([f"{form(key, how)}:{form(item, how)}" for key, item in entries(value)]) + "]"
    if how.verb == "v":
        how = how._replace(flags=how.flags.replace("+", ""))  # that was for the names of fields
    if isinstance(value, Time | Duration) and how.verb in "svq":
        value = value.words()
    for kind, formatted in _KINDS:
        if isinstance(value, kind):
            text = formatted(value, how)
            return _bad(value, how) if text is None else text
    return _bad(value, how)


def _bad(value: object, how: Form) -> str:
    return f"%!{how.verb}({_typed(value)})"


def _typed(value: object) -> str:
    return "<nil>" if value is None else f"{type_name(value)}={show(value)}"


def _bool(value: bool, how: Form) -> str | None:
    return how.pad(show(value)) if how.verb in "tv" else None


def _int(value: int, how: Form) -> str | None:
    if how.verb in ("c", "q", "U"):
        return _rune(value, how)
    if how.verb not in _INTEGERS:
        return None
    sign = "-" if value < 0 else "+" if "+" in how.flags else " " if " " in how.flags else ""
    digits = format(abs(value), _INTEGERS[how.verb])
    if how.precision is not None:
        digits = digits.rjust(how.precision, "0")
        how = how._replace(flags=how.flags.replace("0", ""))
    prefix = _FORMS.get(how.verb, "") if "#" in how.flags or how.verb == "O" else ""
    return how.pad_number(sign + prefix, digits)


def _rune(value: int, how: Form) -> str:
    if how.verb == "U":
        return how.pad(f"U+{value & 0xFFFFFFFFFFFFFFFF:04X}", " ")
    char = chr(value) if 0 <= value < 0x110000 and not 0xD800 <= value < 0xE000 else "\ufffd"
    return how.pad(char if how.verb == "c" else "'" + quote(char, "'", "+" in how.flags) + "'")


def _float(value: float, how: Form) -> str | None:
    if how.verb not in "vgGeEfF":
        return None
    verb = "f" if how.verb == "F" else how.verb
    if how.precision is None and verb in "vgG":
        text = float_text(value)
        text = text.upper() if verb == "G" else text
    else:
        precision = 6 if how.precision is None else how.precision
        text = format(value, f".{precision}{'g' if verb == 'v' else verb}").replace("nan", "NaN").replace("inf", "+Inf")
    sign = text[0] if text[0] in "+-" else "+" if "+" in how.flags else " " if " " in how.flags else ""
    digits = text.removeprefix("-").removeprefix("+")
    if digits in ("NaN", "Inf"):
        how = how._replace(flags=how.flags.replace("0", ""))
    return how.pad_number(sign, digits)


def _string(value: str, how: Form) -> str | None:
    if how.verb in ("x", "X"):
        return how.pad(_hexadecimal(value, how))
    value = value if how.precision is None else value[: how.precision]
    if how.verb == "s" or (how.verb == "v" and "#" not in how.flags):
        return how.pad(value)
    if how.verb == "v":
        return how.pad(encode(value))
    if how.verb != "q":
        return None
    if "#" in how.flags and "`" not in value and all(char == "\t" or char.isprintable() for char in value):
        return how.pad(f"`{value}`")
    return how.pad(quoted(value, "+" in how.flags))


def _hexadecimal(value: str, how: Form) -> str:
    data = utf8(value) if how.precision is None else utf8(value)[: how.precision]
    apart, prefix = " " in how.flags, "0x" if "#" in how.flags and data else ""
    text = data.hex(f" {prefix}"[0]) if apart and data else data.hex()
    text = text.replace(" ", f" {prefix}") if apart else text
    return (prefix + text).upper() if how.verb == "X" else prefix + text


def quoted(text: str, only_ascii: bool = False) -> str:
    """In double quotes, as strconv.Quote."""
    return '"' + quote(text, '"', only_ascii) + '"'


def quote(text: str, mark: str, only_ascii: bool = False) -> str:
    """With Go's escapes."""
    return "".join([_escape(char, mark, only_ascii) for char in text])


_NAMED = dict(zip("\a\b\f\n\r\t\v\\", (f"\\{name}" for name in "abfnrtv\\"), strict=True))


def _escape(char: str, mark: str, only_ascii: bool) -> str:
    if char == mark or char in _NAMED:
        return _NAMED.get(char, f"\\{char}")
    if char.isprintable() and (char.isascii() or not only_ascii):
        return char
    code = ord(char)
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


_KINDS: tuple[tuple[type, Callable[..., str | None]], ...] = (
    (bool, _bool),  # before int, which a bool is too
    (int, _int),
    (float, _float),
    (str, _string),
)
