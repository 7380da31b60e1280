"""Unpacking never goes through a link."""

import io
import os
import tarfile
from pathlib import Path

import pytest

from minirun.archive.unpack import Unpacker, UnpackOptions
from minirun.errors import MinirunError
from tests.harness.tar_archives import tar_of


@pytest.mark.parametrize(
    "entry", [("link/x", "file", "x"), ("link/x", "link", "y"), ("new/h", "hard", "link/f"), ("link/d/e", "dir", "")]
)
def test_unpacking_on_the_host_never_goes_through_a_link(tmp_path: Path, entry: tuple[str, str, str]) -> None:
    """Also not when the archive has no entry for the directory, on which it would be refused before."""
    (tmp_path / "to").mkdir()
    (tmp_path / "else").mkdir()
    (tmp_path / "else" / "f").write_text("kept")
    (tmp_path / "to" / "link").symlink_to(tmp_path / "else")
    top = os.open(tmp_path / "to", os.O_PATH | os.O_DIRECTORY)
    with tarfile.open(fileobj=io.BytesIO(tar_of(entry)), mode="r|") as tar:
        with pytest.raises(MinirunError, match="cannot overwrite non-directory"):
            Unpacker(top, "to", UnpackOptions(chrooted=False)).unpack(tar)
    os.close(top)
    assert os.listdir(tmp_path / "else") == ["f"]
