"""Go's literals: strings with their escapes, characters, numbers. Source: https://go.dev/ref/spec#Literals"""

import re

_ESCAPES = dict(zip("abfnrtv\\", "\a\b\f\n\r\t\v\\", strict=True))
_PIECE = re.compile(
    r"[^\\]+|\\(?:x([0-9a-fA-F]{2})|([0-3][0-7]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))", re.DOTALL
)
_OCTAL = re.compile(r"\A([+-]?)0([0-7_]+)\Z")
_DIGITS_MOST = 400  # a float of more is beyond what Go reads, and int() refuses to read thousands
LARGEST = 2**63 - 1
SMALLEST = -(2**63)


def utf8(text: str) -> bytes:
    """As Go sees it. Half a surrogate pair, which Python has for bytes that are no text, passes."""
    return text.encode("utf-8", "surrogatepass")


def unquote(literal: str) -> str:
    """The value of a string or character literal, with its quotes. ValueError: it has none."""
    quote, body = literal[0], literal[1:-1]
    if quote == "`":
        return body.replace("\r", "")
    return b"".join(_value(piece, quote) for piece in _pieces(body)).decode("utf-8", "replace")


def _pieces(body: str) -> list[re.Match[str]]:
    found = list(_PIECE.finditer(body))
    if sum(len(piece[0]) for piece in found) != len(body):
        raise ValueError("invalid syntax")
    return found


def _value(piece: re.Match[str], quote: str) -> bytes:
    hexadecimal, octal, short, long, single = piece.groups()
    if hexadecimal or octal:
        return bytes([int(hexadecimal, 16) if hexadecimal else int(octal, 8)])
    if short or long:
        return chr(_rune(int(short or long, 16))).encode()
    if single is None:
        return utf8(piece[0])
    if single != quote and single not in _ESCAPES:
        raise ValueError("invalid syntax")
    return _ESCAPES.get(single, single).encode()


def _rune(code: int) -> int:
    if code > 0x10FFFF or 0xD800 <= code < 0xE000:
        raise ValueError("invalid syntax")
    return code


def character(literal: str) -> int:
    """A character literal is a number."""
    try:
        value = unquote(literal)
    except ValueError:
        value = ""
    if len(value) != 1:
        raise ValueError(f"malformed character constant: {literal}")
    return ord(value)


def number(literal: str) -> int | float:
    """ValueError says, in Go's words, what is wrong."""
    whole = _integer(literal)
    if whole is not None and SMALLEST <= whole <= LARGEST:
        return whole
    looks_like_a_float = any(char in literal for char in ".eEpP") and not literal.lower().lstrip("+-").startswith("0b")
    if whole is None and looks_like_a_float:
        return _float(literal)
    wrong = "integer overflow" if whole is not None or literal.lstrip("+-").isdigit() else "bad number syntax"
    raise ValueError(f'{wrong}: "{literal}"')


def _integer(literal: str) -> int | None:
    if len(literal) > _DIGITS_MOST:
        return None
    try:
        return int(_OCTAL.sub(r"\g<1>0o\2", literal), 0)
    except ValueError:
        return None


def _float(literal: str) -> float:
    try:
        value = float.fromhex(literal) if "x" in literal.lower() else float(literal)
    except (ValueError, OverflowError):
        value = float("inf")
    if value in (float("inf"), float("-inf")):
        raise ValueError(f'illegal number syntax: "{literal}"')
    return value
