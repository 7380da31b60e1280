"""Quotes, escapes and variables in the words of a Dockerfile."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minirun.errors import MinirunError
from minirun.image.dockerfile.words import Syntax, expand, expand_words, split

VARIABLES = {"A": "one", "EMPTY": "", "PATH": "/usr/bin:/bin", "SP": " b  c ", "FILE": "/tmp/x.tar.gz", "S": "a*b\\c"}


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("$A ${A} $NONE|${NONE}|", "one one ||"),
        ("'$A' \"$A\" \\$A '\"' \"'\"", "$A one $A \" '"),
        (r'"a\n\"\$\\" a\n \\', '"a\\n\\"$\\\\" an \\'.replace('"a\\n\\"$\\\\"', 'a\\n"$\\')),
        ("$ $. $1x ${1} $$ $@", "$ $. x   "),
        ("${A:-x} ${EMPTY:-x} ${NONE:-x} ${A-x} ${EMPTY-x}. ${NONE-x}", "one x x one . x"),
        ("${A:+x} ${EMPTY:+x}. ${NONE:+x}. ${A+x} ${EMPTY+x} ${NONE+x}.", "x . . x x ."),
        ("${NONE:-${A:+$PATH}} ${NONE:-'a b'} ${NONE:-a}}", "/usr/bin:/bin a b a}"),
        ("${A?x} ${EMPTY?x} ${A:?x}", "one  one"),
        ("${FILE#*/} ${FILE##*/} ${FILE%.*} ${FILE%%.*}", "tmp/x.tar.gz x.tar.gz /tmp/x.tar /tmp/x"),
        ("${FILE#nope} ${FILE#} ${FILE%?z} ${FILE#/t?p}", "/tmp/x.tar.gz /tmp/x.tar.gz /tmp/x.tar. /x.tar.gz"),
        ("${FILE#$NONE} ${FILE#/$NONE2} ${NONE#x}.", "/tmp/x.tar.gz tmp/x.tar.gz ."),
        (
            "${PATH/bin/lib} ${PATH//bin/lib} ${PATH/:*/} ${PATH//\\//_}",
            "/usr/lib:/bin /usr/lib:/lib /usr/bin _usr_bin:_bin",
        ),
        (r"${S#a\*} ${S%\\*} ${S/\*/+} ${S//?/x}", r"b\c a*b a+b\c xxxxx"),
        ("${A//*/x} ${A//n/$PATH} ${A/z/y} ${A//o/}", "x o/usr/bin:/bine one ne"),
        ("한${A}글", "한one글"),
        ("a <<  b <c", "a <<  b <c"),
    ],
)
def test_expand(text: str, result: str) -> None:
    assert expand(text, VARIABLES) == result


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("'a", "unexpected end of statement while looking for matching single-quote"),
        ('"a\\"', "unexpected end of statement while looking for matching double-quote"),
        ("${A", "syntax error: missing '}'"),
        ("${A:-x", "syntax error: missing '}'"),
        ("${A/x}", "syntax error: missing '/' in ${}"),
        ("${A/x/y", "syntax error: missing '}'"),
        ("${}", "syntax error: bad substitution"),
        ("${:x}", "syntax error: bad substitution"),
        ("${A!x}", "unsupported modifier (!) in substitution"),
        ("${A:#x}", "unsupported modifier (:#) in substitution"),
        ("${NONE?}", "NONE: is not allowed to be unset"),
        ("${EMPTY:?}", "EMPTY: is not allowed to be empty"),
        ("${NONE:?say $A}", "NONE: say one"),
        ("${A#\\x}", "invalid escape '\\x'"),
        ("${A-" * 60 + "}" * 60, "nested more than 50 deep"),
    ],
)
def test_a_text_that_is_wrong(text: str, says: str) -> None:
    with pytest.raises(MinirunError) as caught:
        expand(text, VARIABLES)
    assert caught.value.message.startswith('failed to process "')
    assert says in caught.value.message


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a$SP", ["a", "b", "c"]),
        ('a"$SP"', ["a b  c "]),
        ("a\\ b 'c d' \"\" e", ["a b", "c d", "e"]),
        ("$NONE", []),
        ("80 ${A:+90 91}", ["80", "90", "91"]),
    ],
)
def test_words_after_expansion(text: str, words: list[str]) -> None:
    assert expand_words(text, VARIABLES) == words


def test_other_syntaxes() -> None:
    assert split(r"""a 'b c' "d \" e" f\ g""") == ["a", "'b c'", r'"d \" e"', r"f\ g"]
    assert split("a` b `", "`") == ["a` b"]
    assert expand("C:\\x `$A", VARIABLES, Syntax(escape="`")) == "C:\\x $A"
    assert expand("'$A' \\$A", VARIABLES, Syntax(quotes=False)) == "'one' $A"
    kept = Syntax(keep_quotes=True, keep_escapes=True, keep_unset=True)
    assert expand("'a' \"b\" \\c $A $X ${Y:-z} ${W//p/r}", {"A": "1"}, kept) == "'a' \"b\" \\c 1 $X ${Y:-z} ${W//p/r}"


def test_the_names_that_are_not_set() -> None:
    unset: set[str] = set()
    expand("$A ${B} ${C:-d} '$D' ${EMPTY}", VARIABLES, unset=unset)
    assert unset == {"B", "C"}


def test_variables_that_double_end_soon() -> None:
    variables = {"a": "x" * 1000}
    for _ in range(9):
        variables["a"] = expand("$a$a", variables)
    with pytest.raises(MinirunError, match="more than 1 MiB"):
        expand("$a$a$a", variables)


@settings(max_examples=200, deadline=1000)
@given(st.text("ab*?\\/#%{}$:-+'\"x ", max_size=40), st.text("ab*?/\\", max_size=20))
def test_whatever_the_text_there_is_no_traceback(text: str, value: str) -> None:
    for whole in (text, f"${{v#{text}}}", f"${{v//{text}}}"):
        try:
            expand(whole, {"v": value, "a": value})
        except MinirunError as error:
            assert error.message.startswith("failed to process")  # noqa: PT017
