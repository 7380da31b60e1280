"""JSON as Docker's `json` function prints it: compact, and <, > and & as they are.

The json module would do but for floats (Go writes 1.0 as 1), the two line separators, and bytes that are no text.
Source: https://pkg.go.dev/encoding/json#Marshal
"""

import re
from json.encoder import encode_basestring

from minirun.cli.template.template_error import CallError
from minirun.cli.template.values import float_text

_SPECIAL = re.compile("[\u2028\u2029\ud800-\udfff]")
_EXPONENT = re.compile(r"e-0")


def encode(value: object) -> str:
    """Keys stay in the order of the dict, as what it stands for is most often a struct."""
    if isinstance(value, str):
        return _SPECIAL.sub(_escaped, encode_basestring(value))
    if value is None or value is True or value is False:
        return {None: "null", True: "true", False: "false"}[value]
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
