"""Filters of prune, and sizes in the words of Docker."""

import pytest

from minirun.cli.output.filters import parse_filters
from minirun.cli.output.table import binary_size, print_table, size
from minirun.cli.prune import choice_of
from minirun.errors import MinirunError


def test_prune_filters() -> None:
    with pytest.raises(MinirunError, match="invalid filter 'until=yesterday'"):
        choice_of(parse_filters(["until=yesterday"], ("until",)))
    choice = choice_of(parse_filters(["until=10m", "until=1000", "label=a"], ("until", "label")))
    assert choice.has(999, {"a": ""})
    assert not choice.has(1001, {"a": ""})
    assert not choice.has(999, {})


def test_sizes_as_docker_words_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert [size(one) for one in (0, 999, 1500, 1234567, 5e9)] == ["0B", "999B", "1.5kB", "1.23MB", "5GB"]
    assert size(1234567, 4) == "1.235MB"
    assert [binary_size(one) for one in (0, 1023, 1536, 25 * 2**30)] == ["0B", "1023B", "1.5KiB", "25GiB"]
    print_table(("A", "LONG HEADER", "B"), [("x\x1b[31m", "y", "z\n")])
    assert capsys.readouterr().out == "A           LONG HEADER   B\nx\\x1b[31m   y             z\\n\n"
