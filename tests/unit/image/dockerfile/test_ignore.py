"""What of a build context .dockerignore leaves out."""

import os
from pathlib import Path

import pytest

from minirun.archive.tree_walk import DIRECTORY
from minirun.errors import MinirunError
from minirun.image.dockerfile.ignore import exclude_rules, ignore_files, ignored_paths, read_ignore_file

FILE = b"""\xef\xbb\xbf# comment
*.log
  /build/
docs
!docs/README.md
**/node_modules
!important.log
a/../tmp
! /tmp/keep
 # no comment
*.log2
!x[12].log2
"""


@pytest.mark.parametrize(
    ("path", "is_ignored"),
    [
        ("x.log", True),
        ("d/x.log", False),
        ("important.log", False),
        ("build", True),
        ("build/a/b", True),
        ("builder", False),
        ("docs/a", True),
        ("docs/README.md", False),
        ("docs", True),
        ("a/b/node_modules/c/d", True),
        ("node_modules", True),
        ("tmp/x", True),
        ("tmp/keep/x", False),
        ("# no comment", True),
        ("x1.log2", False),
        ("x3.log2", True),
    ],
)
def test_a_path(path: str, is_ignored: bool) -> None:
    assert read_ignore_file(FILE).is_ignored(path) is is_ignored


@pytest.mark.parametrize(
    ("rules", "left_out"),
    [
        ([], set()),
        (["*"], {"a", "d", "e", "m.md"}),
        (["d"], {"d"}),
        (["d", "!d/f/2"], {"d/1", "d/f/3"}),
        (["d", "!d/f/missing"], {"d"}),
        (["**", "!**/*.md"], {"a", "d/1", "d/f/3", "d/f/2", "e"}),
        (["d/*", "!d/f"], {"d/1"}),
        (["d/f", "!d"], {"d/f"}),
        (["*", "!d", "d/f"], {"a", "e", "m.md", "d/f"}),
    ],
)
def test_a_tree(tmp_path: Path, rules: list[str], left_out: set[str]) -> None:
    for name in ("a", "m.md", "d/1", "d/m.md", "d/f/2", "d/f/3"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "e").mkdir()
    (tmp_path / "d/f/m.md").symlink_to("/")
    if rules[-1:] == ["!d/f/2"]:
        left_out = left_out | {"d/m.md", "d/f/m.md"}
    elif rules[-1:] == ["!d/f"]:
        left_out = left_out | {"d/m.md"}
    assert ignored_paths(os.open(tmp_path, DIRECTORY), exclude_rules(rules)) == left_out


@pytest.mark.parametrize("line", ["!", "! ", "[", "a\\"])
def test_a_line_that_is_wrong(line: str) -> None:
    with pytest.raises(MinirunError, match=r"x\.dockerignore:2: "):
        read_ignore_file(f"fine\n{line}\n".encode(), "x.dockerignore")


def test_the_file_of_one_dockerfile_comes_first() -> None:
    assert ignore_files("docker/web.Dockerfile") == ("docker/web.Dockerfile.dockerignore", ".dockerignore")
