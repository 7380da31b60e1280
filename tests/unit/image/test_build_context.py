"""Where a build's files and its Dockerfile come from, and what COPY finds in them."""

import io
import os
import tarfile
from pathlib import Path

import pytest

from minirun.errors import MinirunError
from minirun.image.build.context import BuildContext, open_context
from minirun.image.build.source_tree import SourceTree
from minirun.kernel.tree_root import Root

FILES = {"Dockerfile": "FROM a", "x.c": "1", "y.c": "2", "d/x.c": "3", "d/e/z.h": "4", "[odd].c": "5", "big/log": "6"}


@pytest.fixture(name="tree")
def fixture_tree(tmp_path: Path) -> Path:
    tree = tmp_path / "context"
    for name, content in FILES.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(content)
    (tree / "link").symlink_to("/d/e")
    (tree / "out").symlink_to("../../../../../etc/hostname")
    (tree / "loop").symlink_to("loop")
    (tree / "d/up").symlink_to("../x.c")
    return tree


def opened(where: str, dockerfile: str, stdin: bytes, scratch: Path) -> BuildContext:
    scratch.mkdir()
    return open_context(where, dockerfile, io.BytesIO(stdin), scratch)


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("x.c", ["x.c"]),
        (".", ["."]),
        ("*.c", ["[odd].c", "x.c", "y.c"]),
        ("[xz].c", ["x.c"]),
        ("\\[odd].c", ["[odd].c"]),
        ("*/*.c", ["d/x.c"]),
        ("d/*", ["d/e", "d/x.c", "x.c"]),
        ("*/e/z.?", ["d/e/z.h"]),
        ("link", ["d/e"]),
        ("link/z.h", ["d/e/z.h"]),
        ("link/*", ["d/e/z.h"]),
        ("d/up", ["x.c"]),
        ("*.py", []),
        ("none/*", []),
        ("x.c/*", []),
    ],
)
def test_what_a_source_means(tree: Path, source: str, found: list[str]) -> None:
    assert SourceTree(Root(str(tree))).find(source) == found


@pytest.mark.parametrize("source", ["none", "out", "x.c/y", "big/log", "big", "d/none/x"])
def test_a_source_that_is_not_there(tree: Path, source: str) -> None:
    with pytest.raises(MinirunError) as caught:
        SourceTree(Root(str(tree)), frozenset({"big"})).find(source)
    assert caught.value.message == f'"/{source}": not found'


def test_the_digest_of_what_was_found(tree: Path) -> None:
    whole, filtered = SourceTree(Root(str(tree))), SourceTree(Root(str(tree)), frozenset({"big", "d/e"}))
    before = whole.digest(["."]), filtered.digest(["."]), filtered.digest(["d"]), filtered.digest(["x.c"])
    (tree / "big/log").write_text("7")
    (tree / "d/e/z.h").write_text("8")
    after = whole.digest(["."]), filtered.digest(["."]), filtered.digest(["d"]), filtered.digest(["x.c"])
    assert (before[0] != after[0], before[1:]) == (True, after[1:])
    (tree / "d/x.c").write_text("9")
    assert filtered.digest(["d"]) != before[2]


def test_a_directory(tree: Path, tmp_path: Path) -> None:
    (tree / ".dockerignore").write_text("big\n*.h\n")
    context = opened(str(tree), "", b"", tmp_path / "1")
    assert (context.dockerfile, context.name, context.tree.skip) == (b"FROM a", "Dockerfile", frozenset({"big"}))
    other = tmp_path / "web.Dockerfile"
    other.write_text("FROM b")
    context = opened(str(tree), str(other), b"", tmp_path / "2")
    assert (context.dockerfile, context.name, context.tree.skip) == (b"FROM b", "web.Dockerfile", frozenset({"big"}))
    Path(f"{other}.dockerignore").write_text("d")
    assert opened(str(tree), str(other), b"", tmp_path / "3").tree.skip == {"d"}
    assert opened(str(tree), "-", b"FROM c", tmp_path / "4").dockerfile == b"FROM c"


@pytest.mark.parametrize("kind", ["", "gz", "xz"])
def test_an_archive(tree: Path, tmp_path: Path, kind: str) -> None:
    (tree / ".dockerignore").write_text("big")
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=f"w:{kind}") as tar:  # type: ignore[call-overload]
        tar.add(tree, ".")
    context = opened("-", "", stream.getvalue(), tmp_path / "1")
    assert (context.dockerfile, context.tree.skip) == (b"FROM a", frozenset()), "all of an archive is the context"
    assert context.tree.find("*.c") == ["[odd].c", "x.c", "y.c"]
    assert opened("-", "d/x.c", stream.getvalue(), tmp_path / "2").dockerfile == b"3"
    with pytest.raises(MinirunError, match="failed to read dockerfile: open none"):
        opened("-", "none", stream.getvalue(), tmp_path / "3")
    with pytest.raises(MinirunError):
        opened("-", "", stream.getvalue()[: len(stream.getvalue()) // 2], tmp_path / "4")


def test_a_dockerfile_alone(tmp_path: Path) -> None:
    context = opened("-", "", b"FROM a\nRUN b", tmp_path / "1")
    assert (context.dockerfile, os.listdir(context.tree.root.path)) == (b"FROM a\nRUN b", [])


@pytest.mark.parametrize(
    ("where", "dockerfile", "says"),
    [
        ("/none", "", 'unable to prepare context: path "/none" not found'),
        ("https://example.org/x.git", "", "a remote build context is not supported"),
        ("-", "-", "can't use stdin for both build context and dockerfile"),
        ("-", "x", "a Dockerfile on the standard input cannot have another one"),
        ("EMPTY", "", "failed to read dockerfile: open Dockerfile: no such file or directory"),
        ("EMPTY", "none", "failed to read dockerfile: open none: no such file or directory"),
        ("EMPTY", "/etc", "open /etc: is a directory"),
    ],
)
def test_a_context_that_is_wrong(tmp_path: Path, where: str, dockerfile: str, says: str) -> None:
    with pytest.raises(MinirunError) as caught:
        opened(str(tmp_path) if where == "EMPTY" else where, dockerfile, b"FROM a", tmp_path / "scratch")
    assert says in caught.value.message
