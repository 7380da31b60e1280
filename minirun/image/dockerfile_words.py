"""Split and expand the words of a Dockerfile's line: quotes, escapes and variables.

https://docs.docker.com/reference/dockerfile/#environment-replacement
"""

import re
from collections.abc import Mapping

from minirun.errors import MinirunError

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_BRACED = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)(?:(:?[-+])((?:[^{}\\]|\\.)*))?\}")


def split(text: str) -> list[str]:
    """Split at white space that is neither quoted nor escaped. Quotes and escapes stay in the words."""
    words: list[str] = []
    word, quote, position = "", "", 0
    while position < len(text):
        char = text[position]
        if char == "\\" and quote != "'" and position + 1 < len(text):
            word, position = word + text[position : position + 2], position + 2
            continue
        if quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        elif char.isspace():
            words += [word] if word else []
            word, position = "", position + 1
            continue
        word, position = word + char, position + 1
    return [*words, word] if word else words


def expand(text: str, env: Mapping[str, str]) -> str:
    """Remove quotes and escapes, and expand variables except in single quotes. MinirunError for an open quote."""
    result, quote, position = "", "", 0
    while position < len(text):
        char = text[position]
        position += 1
        if char == "\\" and quote != "'" and position < len(text):
            keeps = quote and text[position] not in '"\\$'  # in double quotes a backslash escapes only these
            result, position = result + ("\\" if keeps else "") + text[position], position + 1
        elif char == quote:
            quote = ""
        elif char in "'\"" and not quote:
            quote = char
        elif char == "$" and quote != "'":
            value, position = _variable(text, position, env)
            result += value
        else:
            result += char
    if quote:
        raise MinirunError(
            f"failed to process {text!r}: unexpected end of statement while looking for matching {quote}"
        )
    return result


def _variable(text: str, position: int, env: Mapping[str, str]) -> tuple[str, int]:
    """Expand the variable after a $. Return its value and the position after it."""
    if not text.startswith("{", position):
        plain = _NAME.match(text, position)
        return (env.get(plain[0], ""), plain.end()) if plain else ("$", position)
    braced = _BRACED.match(text, position)
    if braced is None:
        raise MinirunError(f"failed to process {text!r}: ${{NAME}}, ${{NAME:-word}} and ${{NAME:+word}} are supported")
    name, modifier, word = braced.groups()
    is_set = bool(env.get(name)) if (modifier or "").startswith(":") else name in env
    if (modifier or "").endswith("+"):
        return (expand(word, env) if is_set else ""), braced.end()
    return (expand(word, env) if modifier and not is_set else env.get(name, "")), braced.end()
