"""JSON as Docker's `json` function prints it: compact, and <, > and & as they are.

The json module would do but for floats (Go writes 1.0 as 1), the two line separators, and bytes that are no text.
Source: https://pkg.go.dev/encoding/json#Marshal
"""

import re
from json.encoder import encode_basestring

from minirun.cli.template.literals import utf8
from minirun.cli.template.values import CallError, NilList, NilMap, float_text

_SPECIAL = re.compile("[\u2028\u2029\ud800-\udfff]")
_EXPONENT = re.compile(r"e-0")


def encode(value: object) -> str:
    """Keys stay in the order of the dict, as what it stands for is most often a struct."""
    if isinstance(value, str):
        return _SPECIAL.sub(_escaped, encode_basestring(value))
    if value is None or isinstance(value, NilList | NilMap):
        return "null"
    if value is True or value is False:
        return "true" if value else "false"
    if isinstance(value, float):
        return _float(value)
    if isinstance(value, int):
        return str(int(value))
    if isinstance(value, list | tuple):
        return "[" + ",".join([encode(item) for item in value]) + "]"
    if isinstance(value, dict):
        pairs = [f"{encode(str(key))}:{encode(item)}" for key, item in value.items() if not callable(item)]
        return "{" + ",".join(pairs) + "}"
    raise CallError("json: unsupported type: func()")


def _escaped(match: re.Match[str]) -> str:
    char = match[0]
    return f"\\u{ord(char):04x}" if char in "\u2028\u2029" else "\\ufffd"


def _float(value: float) -> str:
    text = float_text(value, -6, 21)
    if text[-1] in "Nf":
        raise CallError(f"json: unsupported value: {text}")
    return _EXPONENT.sub("e-", text)


# html, js and urlquery: https://pkg.go.dev/text/template, "Functions"
_HTML = {"\0": "\ufffd", '"': "&#34;", "'": "&#39;", "&": "&amp;", "<": "&lt;", ">": "&gt;"}
_HTML_SPECIAL = re.compile("[\0\"'&<>]")
_JS = {"\\": "\\\\", "'": "\\'", '"': '\\"', "<": "\\u003C", ">": "\\u003E", "&": "\\u0026", "=": "\\u003D"}
_UNRESERVED = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.~")


def html(text: str) -> str:
    """Escape for HTML."""
    return _HTML_SPECIAL.sub(lambda match: _HTML[match[0]], text)


def js(text: str) -> str:
    """Escape for a JavaScript string."""
    return "".join([_js(char) for char in text])


def _js(char: str) -> str:
    if char in _JS:
        return _JS[char]
    return char if char.isprintable() else f"\\u{ord(char):04X}"


def urlquery(text: str) -> str:
    """Escape for the query of a URL."""
    return "".join([chr(byte) if byte in _UNRESERVED else "+" if byte == 32 else f"%{byte:02X}" for byte in utf8(text)])
