"""What a reset does when somebody works meanwhile."""

from pathlib import Path

import pytest

from minirun.engine.reset import reset
from minirun.instance import Instance, StateRoot
from minirun.network import operations
from minirun.network.operations import ResetReport


def test_a_database_made_meanwhile_is_removed_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a DNS server that was beginning when all files were removed by hand, and is stopped by the reset."""

    def stop_server(place: StateRoot, _: ResetReport) -> None:
        Instance(place.root).store.close()
        assert (place.root / "reserve").exists()

    monkeypatch.setattr(operations, "steps_on_host", lambda _: {"the DNS server": stop_server})
    root = tmp_path / "root"
    root.mkdir()
    assert reset(StateRoot(root)).removed == {"files": [str(root)]}
    assert not root.exists()


def test_files_without_a_database_are_somebody_elses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operations, "steps_on_host", lambda _: {})
    (tmp_path / "images").mkdir()
    assert len(reset(StateRoot(tmp_path)).kept) == 1
    assert (tmp_path / "images").exists()
