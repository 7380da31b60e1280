"""Words of a Dockerfile's line: quotes, escapes and variables.

https://docs.docker.com/reference/dockerfile/#environment-replacement
"""

import re
from collections.abc import Mapping

from minirun.errors import MinirunError

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_BRACED = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)(?:(:?[-+])((?:[^{}\\]|\\.)*))?\}")


def split(text: str) -> list[str]:
    """At white space that is neither quoted nor escaped; quotes and escapes are left as they are."""
    words: list[str] = []
    word, quote, at = "", "", 0
    while at < len(text):
        char = text[at]
        if char == "\\" and quote != "'" and at + 1 < len(text):
            word, at = word + text[at : at + 2], at + 2
            continue
        if quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        elif char.isspace():
            words += [word] if word else []
            word, at = "", at + 1
            continue
        word, at = word + char, at + 1
    return [*words, word] if word else words


def expand(text: str, env: Mapping[str, str]) -> str:
    """What is left when quotes and escapes have done their work, with variables filled in: none between '...'."""
    result, quote, at = "", "", 0
    while at < len(text):
        char = text[at]
        at += 1
        if char == "\\" and quote != "'" and at < len(text):
            keeps = quote and text[at] not in '"\\$'  # between "..." a backslash is one before anything else
            result, at = result + ("\\" if keeps else "") + text[at], at + 1
        elif char == quote:
            quote = ""
        elif char in "'\"" and not quote:
            quote = char
        elif char == "$" and quote != "'":
            value, at = _variable(text, at, env)
            result += value
        else:
            result += char
    if quote:
        raise MinirunError(f"failed to process {text!r}: unexpected end of statement, without its second {quote}")
    return result


def _variable(text: str, at: int, env: Mapping[str, str]) -> tuple[str, int]:
    """(value, where it goes on) of what stands behind a $."""
    if not text.startswith("{", at):
        plain = _NAME.match(text, at)
        return (env.get(plain[0], ""), plain.end()) if plain else ("$", at)
    braced = _BRACED.match(text, at)
    if braced is None:
        raise MinirunError(f"failed to process {text!r}: ${{NAME}}, ${{NAME:-word}} and ${{NAME:+word}} are understood")
    name, modifier, word = braced.groups()
    is_set = bool(env.get(name)) if (modifier or "").startswith(":") else name in env
    if (modifier or "").endswith("+"):
        return (expand(word, env) if is_set else ""), braced.end()
    return (expand(word, env) if modifier and not is_set else env.get(name, "")), braced.end()
