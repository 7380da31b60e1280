"""Errors in a Dockerfile: BuildKit's words, the line, and the lines around it."""

import time
from contextlib import suppress

import pytest

from minirun.errors import MinirunError
from minirun.image.dockerfile.parser import parse
from minirun.image.dockerfile.source import DockerfileError, Lines, Source, suggestion

EXCERPT = r"""
Dockerfile:4
--------------------
   2 |     RUN a
   3 |     RUN b
   4 | >>> FRUM x \x1b
   5 |     RUN c
   6 |     RUN d
--------------------"""


def test_the_line_is_shown_among_its_neighbours() -> None:
    with pytest.raises(DockerfileError) as caught:
        parse(b"FROM x\nRUN a\nRUN b\nFRUM x \x1b\nRUN c\nRUN d\nRUN e\n")
    assert caught.value.message == "dockerfile parse error on line 4: unknown instruction: FRUM (did you mean FROM?)"
    assert caught.value.lines == Lines(4, 4)
    assert caught.value.excerpt == EXCERPT.removeprefix("\n")


def test_several_lines_are_shown_with_one_around_them() -> None:
    shown = Source("x.Dockerfile", "1\n2\n3\n4\n5\n6").excerpt(Lines(3, 4)).splitlines()
    assert shown[0] == "x.Dockerfile:3"
    assert shown[2:-1] == ["   2 |     2", "   3 | >>> 3", "   4 | >>> 4", "   5 |     5"]
    assert Source("x", "1").excerpt(Lines(2, 2)) == ""


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("RUN x", 1, "no build stage in current context"),
        ("FROM a\nfoo b", 2, "unknown instruction: foo (did you mean from?)"),
        ("FROM a\nINCLUDE b", 2, "unknown instruction: INCLUDE"),
        ("FROM a b", 1, "FROM requires either one or three arguments"),
        ("FROM a AS 1x", 1, 'invalid name for build stage: "1x", name can\'t start with a number or contain symbols'),
        ("FROM --plattform=x a", 1, "unknown flag: --plattform (did you mean platform?)"),
        ("FROM a\nRUN --mount x", 2, "missing a value on flag: --mount"),
        ("FROM a\nRUN --network=none --network=none x", 2, "duplicate flag specified: --network"),
        ("FROM a\nRUN --network=bridge x", 2, 'invalid network mode "bridge"'),
        ("FROM a\nRUN --security=insecure x", 2, "RUN --security=insecure is not supported"),
        ("FROM a\nRUN --security=x x", 2, 'security "x" is not valid'),
        ("FROM a\nRUN --mount=from=$x,target=/x x", 2, "'from' doesn't support variable expansion"),
        ("FROM a\nCOPY --link=maybe a b", 2, "expecting boolean value for flag --link, not: maybe"),
        ("FROM a\nCOPY --link= a b", 2, "missing a value on flag: --link"),
        ("FROM a\nCOPY a", 2, "COPY requires at least two arguments, but only one was provided. Destination could not"),
        ("FROM a\nCOPY a <<E\nE", 2, "COPY cannot accept a heredoc as a destination"),
        ("FROM a\n\nRUN <<E\nx\n", 3, "unterminated heredoc"),
        ("FROM a\nENV a", 2, "ENV must have two arguments"),
        ("FROM a\nENV a=b \\\n c", 2, 'Syntax error - can\'t find = in "c". Must be of the form: name=value'),
        ("FROM a\nLABEL =b", 2, "LABEL names can not be blank"),
        ("FROM a\nARG", 2, "ARG requires at least one argument"),
        ("FROM a\nUSER", 2, "USER requires exactly one argument"),
        ("FROM a\nSHELL bash -c", 2, "SHELL requires the arguments to be in JSON form"),
        ("FROM a\nSHELL []", 2, "SHELL requires at least one argument"),
        ("FROM a\nCMD [1]", 2, "when using JSON array syntax, arrays must be comprised of strings only"),
        ("FROM a\nHEALTHCHECK NONE x", 2, "HEALTHCHECK NONE takes no arguments"),
        ("FROM a\nHEALTHCHECK CMD", 2, "Missing command after HEALTHCHECK CMD"),
        ("FROM a\nHEALTHCHECK --interval=1us CMD x", 2, 'Interval "interval" cannot be less than 1ms'),
        ("FROM a\nHEALTHCHECK --retries=-1 CMD x", 2, "--retries must be a non-negative number: -1"),
        ("FROM a\nONBUILD ONBUILD RUN x", 2, "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed"),
        ("FROM a\nONBUILD FROM x", 2, "FROM isn't allowed as an ONBUILD trigger"),
        ('FROM a\nVOLUME [""]', 2, "VOLUME specified can not be an empty string"),
        ("# escape=x\nFROM a", 1, "invalid escape token 'x' does not match ` or \\"),
        ("# escape=`\n# escape=`\nFROM a", 2, "only one escape parser directive can be used"),
    ],
)
def test_an_error(text: str, line: int, says: str) -> None:
    with pytest.raises(DockerfileError) as caught:
        parse(text.encode())
    assert caught.value.message.startswith(f"dockerfile parse error on line {line}: {says}")
    assert f" {line:3d} | >>> " in caught.value.excerpt


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "the Dockerfile cannot be empty"),
        (b"# x\n\n", "file with no instructions"),
        (b"ARG x", "dockerfile contains no stages to build"),
        (b"# syntax=example/other:1\nFROM a", "the frontend example/other:1 of the syntax directive is not supported"),
        ("FROM a".encode("utf-16"), "the Dockerfile has a NUL byte"),
        (b"FROM a\nRUN " + b"x" * 70000, "dockerfile line greater than max allowed size of 65535"),
    ],
)
def test_a_file_that_is_no_dockerfile(data: bytes, says: str) -> None:
    with pytest.raises(MinirunError) as caught:
        parse(data)
    assert caught.value.message == says


def test_suggestions() -> None:
    options = ["ADD", "COPY", "RUN", "FROM"]
    cases = {
        "COPYY": " (did you mean COPY?)",
        "runx": " (did you mean run?)",
        "COPY": "",
        "X" * 70000: "",
        "SOMETHING": "",
    }
    assert {word: suggestion(word, options) for word in cases} == cases


def test_a_latin_1_comment_and_command_are_kept() -> None:
    dockerfile = parse(b"# \xe9t\xe9\nFROM a\nRUN echo \xe9\n")
    ((_, (run,)),) = dockerfile.stages
    assert run.text.encode("utf-8", "surrogateescape") == b"RUN echo \xe9"


@pytest.mark.parametrize(
    "text",
    [
        "RUN " + "a \\\n" * 200_000 + "b",
        "ENV a=" + "'" * 60_000,
        "RUN " + "<<E " * 10_000 + "\n" + "E\n" * 10_000,
        "CMD " + "[" * 60_000,
        "ENV " + "a" * 60_000 + "=b\n" + "A" * 59_999 + " x",
    ],
    ids=["continuations", "quotes", "here-documents", "brackets", "suggestion"],
)
def test_a_hostile_text_takes_no_quadratic_time(text: str) -> None:
    started = time.process_time()
    with suppress(MinirunError):
        parse(f"# escape=\\\n# syntax={'docker/dockerfile ' + ' ' * 60_000}x\nFROM a\n{text}\n".encode())
    assert time.process_time() - started < 10  # seconds; quadratic would be minutes
