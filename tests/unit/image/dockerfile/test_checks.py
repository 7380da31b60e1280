"""BuildKit's checks of what is right and yet probably not meant."""

import pytest

from minirun.errors import MinirunError
from minirun.image.dockerfile.checks import check_options, find_warnings
from minirun.image.dockerfile.parser import parse


@pytest.mark.parametrize(
    ("text", "rules"),
    [
        ('FROM a AS b\nWORKDIR /x\nWORKDIR y\nCMD ["x"]\nENV A=b PUBLIC_KEY=c KEY_FILE=d\nARG TOKENS', []),
        ("FROM a AS B", ["StageNameCasing:1"]),
        ("FROM a as b", ["FromAsCasing:1"]),
        ("from a as b\nrun c\nCOPY d e", ["ConsistentInstructionCasing:3"]),
        ("FROM a\nRun c", ["ConsistentInstructionCasing:2"]),
        ("FROM a AS b\nFROM a AS B", ["DuplicateStageName:2", "StageNameCasing:2"]),
        ("FROM a AS scratch", ["ReservedStageName:1"]),
        ("FROM a\nRUN b \\\n\n c", ["NoEmptyContinuation:4"]),
        ("FROM a\nCMD b\nENTRYPOINT c", ["JSONArgsRecommended:2", "JSONArgsRecommended:3"]),
        ('FROM a\nSHELL ["b"]\nCMD c', []),
        ('FROM a\nCMD ["b"]\nCMD ["c"]\nFROM a\nCMD ["d"]', ["MultipleInstructionsDisallowed:2"]),
        ("FROM a\nMAINTAINER b", ["MaintainerDeprecated:2"]),
        ("FROM a\nWORKDIR b", ["WorkdirRelativePath:2"]),
        ("FROM a\nENV b c\nLABEL d e", ["LegacyKeyValueFormat:2", "LegacyKeyValueFormat:3"]),
        ("ARG API_TOKEN\nFROM a\nENV DB_PASSWORD=x", ["SecretsUsedInArgOrEnv:1", "SecretsUsedInArgOrEnv:3"]),
        ("# check=skip=WorkdirRelativePath, JSONArgsRecommended\nFROM a\nCMD b\nLABEL d e", ["LegacyKeyValueFormat:4"]),
        ("# check=skip=all;error=true\nFROM a\nCMD b", []),
    ],
)
def test_warnings(text: str, rules: list[str]) -> None:
    assert [f"{warning.rule}:{warning.lines.first}" for warning in find_warnings(parse(text.encode()))] == rules


def test_a_warning_is_one_line() -> None:
    (warning,) = find_warnings(parse(b"FROM a\nCMD b"))
    text = "JSON arguments recommended for CMD to prevent unintended behavior related to OS signals"
    assert str(warning) == f"JSONArgsRecommended: {text} (line 2)"


def test_the_check_directive() -> None:
    assert check_options(parse(b"# check=error=true\nFROM a")).is_error
    for value in ("skip", "error=x", "nope=1"):
        with pytest.raises(MinirunError):
            check_options(parse(f"# check={value}\nFROM a".encode()))
