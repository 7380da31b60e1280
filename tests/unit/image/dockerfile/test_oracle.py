"""BuildKit's parser and ours read the same: instructions, flags, values, here-documents and line numbers."""

import re
from contextlib import suppress

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from minirun.errors import MinirunError
from minirun.image.dockerfile.parser import parse, parse_lines
from minirun.image.dockerfile.syntax import Onbuild
from tests.unit.image.dockerfile.corpus import DOCKERFILES
from tests.unit.image.dockerfile.oracle import buildkit, minirun

# What the wheel's BuildKit (0.12.5) reads in another way than Docker 28's: text after a JSON array, and `<< NAME`.
_CHANGED = re.compile(r'\[(?:\s|"[^"]*"|,)*\][^\n]*\S|<<-?[\t\r\v\f `\\]')
_STRICTER = (  # what BuildKit finds only later, or never
    "unknown instruction|unknown flag|duplicate flag|missing a value on flag|expecting boolean|requires |"
    "can not be blank|Unknown type|takes no arguments|Missing command|isn't allowed|as a destination|"
    "invalid name for build stage|empty string|Chaining|cannot accept|no instructions"
)


def test_the_corpus_is_large() -> None:
    assert len(DOCKERFILES) >= 75
    assert sum(buildkit(text) is not None for text in DOCKERFILES) >= 60


@pytest.mark.parametrize("text", DOCKERFILES, ids=lambda text: text.strip()[:30])
def test_both_read_the_same(text: str) -> None:
    theirs = buildkit(text)
    assert minirun(text) == theirs or _is_stricter(text)


_WORDS = [
    "a",
    "b=c",
    "$x",
    "${x:-y z}",
    "'",
    '"',
    "'a b'",
    '"c d"',
    '\\"',
    "\\ ",
    "#",
    "=",
    "/x",
    "80",
    "<",
    "\x1f",
    "\v",
]
_LINES = ["\n# c\n", "\nE\n", "\n\tE\n", "\n", "\n\n", " \\\n", "\\\n", "\\\\\n", "`\n", "\r\n", " ", "  ", "\t"]
_FORMS = ['["a", "b"]', "[", "]", "--from=b", "--chown=1:2", "--link", "--", "<<E", "<<-E", "<<'E'", "3<<E"]
_FRAGMENTS = st.sampled_from([*_WORDS, *_LINES, *_FORMS, "CMD x", "RUN x", "NONE"])
_INSTRUCTIONS = st.sampled_from(
    ["RUN", "ENV", "LABEL", "COPY", "ADD", "CMD", "ARG", "EXPOSE", "ONBUILD", "HEALTHCHECK", "USER", "VOLUME", "run"]
)
_STATEMENT = st.tuples(_INSTRUCTIONS, st.sampled_from([" a b ", " a=b ", " "]), st.lists(_FRAGMENTS, max_size=6))
_HEADS = st.sampled_from(["FROM a\n", "# escape=`\nFROM a\n", "# syntax=docker/dockerfile:1\n# escape=\\\nFROM a\n"])


@settings(max_examples=150, deadline=None)
@given(_HEADS, st.lists(_STATEMENT, max_size=4))
def test_both_read_the_same_of_anything(head: str, statements: list[tuple[str, str, list[str]]]) -> None:
    text = head + "".join(name + start + "".join(rest) + "\n" for name, start, rest in statements)
    assume(not _CHANGED.search(text))
    assert minirun(text) == buildkit(text) or _is_stricter(text)


_BYTES = st.binary(max_size=200) | st.text(max_size=200).map(str.encode)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from([b"", b"FROM a\nRUN <<E ", b"FROM "]), _BYTES)
def test_whatever_the_bytes_there_is_no_traceback(head: bytes, data: bytes) -> None:
    with suppress(MinirunError):
        parse(head + data)


def _is_stricter(text: str) -> bool:
    """Whether we refuse the text for something that BuildKit's parser leaves to a later stage."""
    if buildkit(text) is None:
        return False
    try:
        for _, instructions in parse(text.encode()).stages:
            for trigger in (one for one in instructions if isinstance(one, Onbuild)):
                parse_lines(trigger.argument)
    except MinirunError as error:
        return re.search(_STRICTER, error.message) is not None
    return False
