"""The arguments that several instructions have in common, or that need more than a few lines to parse."""

import re
from collections.abc import Sequence
from typing import Any

from minirun.errors import MinirunError
from minirun.image.dockerfile.flags import Flags
from minirun.image.dockerfile.statements import BLANKS, Heredoc, find_heredoc
from minirun.image.dockerfile.syntax import Pair
from minirun.image.dockerfile.words import split
from minirun.options.values import find_duration

_STAGE_NAME = re.compile(r"[a-z][a-z0-9\-_.]*\Z")
_HEALTH_TIMES = {
    "interval": "Interval",
    "timeout": "Timeout",
    "start-period": "StartPeriod",
    "start-interval": "StartInterval",
}


def plain_words(text: str) -> tuple[str, ...]:
    """Split at white space; quotes mean nothing here."""
    return tuple(BLANKS.split(text)) if text else ()


def stage_name(words: Sequence[str]) -> str:
    """Check the words of FROM: IMAGE [AS NAME]. Return the name in lower case, "" if there is none."""
    if len(words) == 1:
        return ""
    if len(words) != 3 or words[1].lower() != "as":
        raise MinirunError("FROM requires either one or three arguments")
    if not _STAGE_NAME.match(words[2].lower()):
        raise MinirunError(
            f'invalid name for build stage: "{words[2]}", name can\'t start with a number or contain symbols'
        )
    return words[2].lower()


def pairs(keyword: str, text: str, escape: str) -> tuple[Pair, ...]:
    """Parse name=value ..., or the old form of one name and its value, which is the rest of the line."""
    words = split(text, escape)
    if not words or "=" not in words[0]:
        name_and_value = BLANKS.split(text, maxsplit=1)
        if len(name_and_value) < 2:
            raise MinirunError(f"{keyword} must have two arguments")
        return (Pair(name=name_and_value[0], value=name_and_value[1], is_legacy=True),)
    result = []
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise MinirunError(f'Syntax error - can\'t find = in "{word}". Must be of the form: name=value')
        if not name:
            raise MinirunError(f"{keyword} names can not be blank")
        result.append(Pair(name=name, value=value))
    return tuple(result)


def transfer(keyword: str, words: Sequence[str], heredocs: Sequence[Heredoc], flags: Flags) -> dict[str, Any]:
    """Parse what COPY and ADD have in common: sources, destination and flags. Return the fields of Transfer."""
    if len(words) < 2:
        raise MinirunError(
            f"{keyword} requires at least two arguments, but only one was provided. Destination could not be determined"
        )
    if _opened(words[-1]):
        raise MinirunError(f"{keyword} cannot accept a heredoc as a destination")
    content = {heredoc.name: heredoc.content for heredoc in heredocs}
    sources: list[str] = []
    contents: list[Heredoc] = []
    for word in words[:-1]:
        opened = _opened(word)
        if opened is None:
            sources.append(word)
        else:
            text = content.get(opened.name, "")
            contents.append(Heredoc(opened.name, text, opened.expands, opened.strips_tabs, opened.fd))
    return {
        "sources": tuple(sources),
        "destination": words[-1],
        "contents": tuple(contents),
        "chown": flags.value("chown"),
        "chmod": flags.value("chmod"),
        "link": bool(flags.switch("link")),
        "exclude": flags.all("exclude"),
    }


def _opened(word: str) -> Heredoc | None:
    try:
        return find_heredoc(word)
    except MinirunError:  # an open quote: it is a file name
        return None


def health_options(flags: Flags) -> tuple[tuple[str, int], ...]:
    """Return the options of HEALTHCHECK in the words of image configurations, times in nanoseconds."""
    options: dict[str, int] = {}
    for flag, name in _HEALTH_TIMES.items():
        text = flags.value(flag)
        seconds = find_duration(text) if text else 0.0
        if seconds is None:
            raise MinirunError(f'time: invalid duration "{text}"', "such as 30s or 1m30s")
        if 0 < seconds < 0.001:
            raise MinirunError(f'Interval "{flag}" cannot be less than 1ms')
        if seconds:
            options[name] = int(seconds * 1e9)
    retries = flags.value("retries")
    if retries:
        if not retries.isascii() or not retries.isdigit() or not int(retries[:11]) < 1 << 31:
            raise MinirunError(f"--retries must be a non-negative number: {retries}")
        options["Retries"] = int(retries)
    return tuple(options.items())
