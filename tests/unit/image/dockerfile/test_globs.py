"""Patterns of COPY, .dockerignore and ${name#pattern}."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minirun.errors import MinirunError
from minirun.image.dockerfile.globs import ends, file_pattern, has_wildcards, ignore_pattern, matches

# https://pkg.go.dev/path/filepath#Match
_FILES = r"""
go.mod go.mod | * notes | *.md README.md | lib* lib | lib* libc | src*/main.c src2/main.c | v?.*.0 v1.22.0
*1*2*3/log a1b2c3/log | *1*2*3/log a1b12c3/log | [xyz]1 y1 | [l-n]og mog | [^a-k]x zx | \*.c *.c | x? xé
[\]x] ] | [\-] - | [0\-9] - | [0\-9] 0 | [\--9] 5 | *o ooo | a[\]]b a]b | .?* .env | [^x] /
"""
_NOT_FILES = r"""
lib* lib/c | src*/main.c src/a/main.c | *1*2*3/log a1b2/c3/log | v?.*.0 v1.22.1 | [xyz]1 w1 | [^a-k]x bx
\*.c a.c | x??? xé | a?b a/b | a*b a/b | [\-9] 8 | [^\-9] - | [9-0] 5 | *o oop | a b
"""
# https://pkg.go.dev/github.com/moby/patternmatcher
_IGNORED = r"""
** x | ** x/y | **/ x | **/** x/y/z | out/** out/x | out/** out/x/y | **/tmp tmp | **/tmp x/y/tmp
**/log/* x/log/y | **/log/** x/log/y/z | **~ old~ | **~ x/old~ | **rc x/.bashrc | **/*.o main.o | **/*.o x/y/main.o
**/test*py x/test_a.py | **/**/*.o x/main.o | x**/*.o x/main.o | x**/*.o x/y/z/main.o | *.o main.o | x/*.o** x/main.o
x/*.o** x/main.o/y | v[0-9]x v3x | .* .git | a+b.c a+b.c | f(1)/x f(1)/x | {a|b}^$ {a|b}^$ | x\\y x\y
**/a/b a/b | **/a/b x/y/a/b | a/**/b a/b | a/**/b a/x/y/b | x/**/*.[ch] x/y.h
"""
_NOT_IGNORED = r"""
**/*.o main.oo | x/*.o x/y/main.o | v[0-9]x vx | .* git | a+b.c aab.c | a.c abc | out/** out | **/.env x.env
f(1)/x f(1)/y | **/log/* log | a/**/b ab | a/**/b a/xb | *x/y a/x/y | x/**/*.[ch] x/y.o
"""


def cases(text: str) -> list[tuple[str, str]]:
    """PATTERN PATH | PATTERN PATH ..."""
    return [(pattern, path) for line in text.split("\n") if line for pattern, path in map(str.split, line.split(" | "))]


@pytest.mark.parametrize(("pattern", "path"), cases(_FILES))
def test_a_file_that_matches(pattern: str, path: str) -> None:
    assert matches(file_pattern(pattern), path)


@pytest.mark.parametrize(("pattern", "path"), cases(_NOT_FILES))
def test_a_file_that_does_not_match(pattern: str, path: str) -> None:
    assert not matches(file_pattern(pattern), path)


@pytest.mark.parametrize(("pattern", "path"), cases(_IGNORED))
def test_an_ignored_path(pattern: str, path: str) -> None:
    assert matches(ignore_pattern(pattern), path)


@pytest.mark.parametrize(("pattern", "path"), cases(_NOT_IGNORED))
def test_a_path_that_is_not_ignored(pattern: str, path: str) -> None:
    assert not matches(ignore_pattern(pattern), path)


@pytest.mark.parametrize("pattern", ["[", "[a", "[]", "[]a]", "[-]", "[x-]", "[-x]", "[a-b-c]", "a\\", "[^]", "[\\"])
def test_a_pattern_that_is_wrong(pattern: str) -> None:
    for parse in (file_pattern, ignore_pattern):
        with pytest.raises(MinirunError, match="syntax error in pattern"):
            parse(pattern)


def test_wildcards() -> None:
    assert [has_wildcards(text) for text in ("a*", "a?", "[a]", "a\\*", "a\\\\*", "a")] == [True] * 3 + [
        False,
        True,
        False,
    ]


@settings(max_examples=300, deadline=1000)
@given(st.text("ab*?/", max_size=12), st.text("ab/", max_size=16))
def test_it_matches_what_a_regular_expression_matches(text: str, path: str) -> None:
    """The positions that a pattern reaches, and what `re` says of the same pattern."""
    single = re.sub(r"\*+", "*", text)
    regex = single.replace("*", "[^/]*").replace("?", "[^/]")
    expected = re.fullmatch(regex, path) is not None
    assert matches(file_pattern(single), path) == expected
    assert (len(path) in ends(file_pattern(single), path, (0,))) == expected
    double = ignore_pattern(text)
    assert (len(path) in ends(double, path, (0,))) == matches(double, path)


def test_a_hostile_pattern_takes_no_exponential_time() -> None:
    assert not matches(file_pattern("a*" * 100 + "b"), "a" * 250)
    assert not matches(ignore_pattern("**/a*a/" * 40 + "b"), "aa/" * 80)
