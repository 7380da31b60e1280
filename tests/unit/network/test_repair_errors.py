"""A look for damage that fails: the command is for something else, and goes on."""

import sqlite3
from pathlib import Path

import pytest

from minirun.errors import MinirunError
from minirun.instance import Instance
from minirun.network import operations


@pytest.mark.parametrize(
    "error",
    [OSError(5, "Input/output error"), MinirunError("no such driver"), sqlite3.OperationalError("it is locked")],
)
def test_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception
) -> None:
    def look(_: Instance) -> list[str]:
        raise error

    monkeypatch.setattr(operations, "repair_damage", look)
    operations.repair(Instance(tmp_path))
    assert capsys.readouterr().err.startswith("minirun: cannot look for damage to networks: ")
