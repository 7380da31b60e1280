"""docs/architecture.md names files that exist, every room, and a core path that one can read in an evening."""

import re
from pathlib import Path

from tests.harness.host import REPO

PAGE = (REPO / "docs/architecture.md").read_text()
_MAX_CORE_LINES = 3000


def test_every_file_it_names_exists() -> None:
    named = re.findall(r"`((?:minirun/)?[a-z_]+/[a-z_/]*(?:\.py)?)`", PAGE)
    assert len(named) > 30
    for name in named:
        assert (REPO / name).exists() or (REPO / "minirun" / name).exists(), name


def test_every_room_is_in_its_table() -> None:
    rooms = [path.name for path in (REPO / "minirun").iterdir() if (path / "__init__.py").exists()]
    for room in rooms:
        assert f"`{room}/`" in PAGE, room


def test_the_core_path_is_short() -> None:
    core = PAGE.partition("<!-- core path -->")[2].partition("<!-- end -->")[0]
    files: list[Path] = []
    for line in core.splitlines():
        directory = REPO
        for name in re.findall(r"`([\w/]+\.py)`", line):
            directory = (REPO / name).parent if "/" in name else directory
            files.append(directory / Path(name).name)
    assert len(files) > 15
    assert sum(len(path.read_text().splitlines()) for path in files) <= _MAX_CORE_LINES
