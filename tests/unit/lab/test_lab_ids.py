"""Which ids a user may have in a lab, and what is imported before one starts."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from minirun.kernel.own_ids import OwnIds
from minirun.lab import ids
from minirun.lab.facts import Lab, lacks, pack, unpack, welcome


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", None),
        ("other:100:200\n", None),
        ("tester:100000:65536\n", (100000, 65536)),
        ("other:1:2\ntester:5:6\n1000:70:80\n", (70, 80)),
        ("tester:x:6\ntester:5\n# tester:5:6\n", None),
    ],
)
def test_lines_of_subuid(
    text: str, found: tuple[int, int] | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ids, "user_name", lambda: "tester")
    monkeypatch.setattr(os, "getuid", lambda: 1000)
    (tmp_path / "subuid").write_text(text)
    assert ids._subordinate(tmp_path / "subuid") == found
    assert ids._subordinate(tmp_path / "missing") is None


def test_owners_of_files() -> None:
    single = OwnIds(False, ((0, 1),), ((0, 1),), False)
    assert single.is_single
    assert (single.owner(33, 0), single.owner(0, 33), single.last_group) == ((0, 0), (0, 0), 0)
    many = OwnIds(False, ((0, 1), (1, 65536)), ((0, 1), (1, 1000)), True)
    assert not many.is_single
    assert (many.owner(65536, 1000), many.owner(65537, 1001)) == ((65536, 1000), (0, 0))
    assert many.last_group == 1000


def test_what_a_lab_lacks() -> None:
    lab = Lab("tester", "", 1, "no subuid", "", "no pasta", False)
    assert [why for _, why in lacks(lab)][:2] == ["no subuid", "no pasta"]
    assert all(why in welcome(lab) for why in ("no subuid", "no pasta", "in memory"))
    whole = Lab("tester", "/srv/lab", 65537, "", "pasta", "", True)
    assert lacks(whole) == []
    assert "/srv/lab" in welcome(whole)
    assert unpack(pack(whole)) == whole


def test_a_lab_starts_without_what_is_slow_to_import() -> None:
    """typer and pyroute2 take several times as long as all the rest; dataclasses as long as Python's start."""
    script = "import sys, minirun.__main__, minirun.lab.enter; print(*sys.modules)"
    words = [sys.executable, "-I", "-c", script]
    loaded = subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()
    base = subprocess.run(
        [sys.executable, "-I", "-c", "import sys; print(*sys.modules)"], capture_output=True, text=True, check=True
    )
    assert not {"typer", "click", "pyroute2", "asyncio", "sqlite3", "dataclasses"} & (
        set(loaded) - set(base.stdout.split())
    )
