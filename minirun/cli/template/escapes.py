"""html, js and urlquery. Source: https://pkg.go.dev/text/template, "Functions"."""

import re

from minirun.cli.template.literals import utf8

_HTML = {"\0": "\ufffd", '"': "&#34;", "'": "&#39;", "&": "&amp;", "<": "&lt;", ">": "&gt;"}
_HTML_SPECIAL = re.compile("[\0\"'&<>]")
_JS = {"\\": "\\\\", "'": "\\'", '"': '\\"', "<": "\\u003C", ">": "\\u003E", "&": "\\u0026", "=": "\\u003D"}
_UNRESERVED = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.~")


def html(text: str) -> str:
    return _HTML_SPECIAL.sub(lambda match: _HTML[match[0]], text)


def js(text: str) -> str:
    return "".join([_js(char) for char in text])


def _js(char: str) -> str:
    if char in _JS:
        return _JS[char]
    return char if char.isprintable() else f"\\u{ord(char):04X}"


def urlquery(text: str) -> str:
    return "".join([chr(byte) if byte in _UNRESERVED else "+" if byte == 32 else f"%{byte:02X}" for byte in utf8(text)])
