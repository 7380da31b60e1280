"""The house: few modules at the top, few small files, names that are nouns, docstrings, and tests that mirror it."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.host import REPO
from tests.lint.modules import PACKAGE, modules, tree

TESTS = REPO / "tests"
_NOUNS = {"listing", "string", "testing"}  # testing: where users of Python look for such a package
_NOT_ROOMS = {"booted", "docs"}  # tests of the booted machine, and of the commands that the pages print


def test_at_most_six_modules_stand_outside_the_rooms() -> None:
    names = [path.name for path in PACKAGE.glob("*.py")]
    assert len(names) <= 6, names


def test_few_files_are_so_small_that_their_neighbour_could_have_them() -> None:
    files = [path for path in modules().values() if path.name != "__init__.py"]
    small = [str(path.relative_to(REPO)) for path in files if 0 < len(path.read_text().splitlines()) < 50]
    assert len(small) <= 40, small


def test_no_module_is_named_by_a_verb_in_ing() -> None:
    last = {name: name.rpartition(".")[2] for name in modules()}
    assert [name for name, word in last.items() if word.endswith("ing") and word not in _NOUNS] == []


def test_public_functions_have_docstrings() -> None:
    public = [node for path in modules().values() for node in _public(tree(path))]
    without = [node.name for node in public if not ast.get_docstring(node)]
    assert len(without) <= len(public) * 0.05, f"{len(without)} of {len(public)}"


def _public(node: ast.Module | ast.ClassDef) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Functions and methods, but for those within a function."""
    for inner in node.body:
        if isinstance(inner, ast.ClassDef) and not inner.name.startswith("_"):
            yield from _public(inner)
        elif isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef) and not inner.name.startswith("_"):
            yield inner


def test_public_classes_and_packages_have_docstrings() -> None:
    argv = [sys.executable, "-m", "ruff", "check", "--select", "D100,D101,D104", "--statistics", str(PACKAGE)]
    done = subprocess.run(argv, cwd=REPO, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("kind", ["unit", "integration"])
def test_the_tests_mirror_the_rooms(kind: str) -> None:
    rooms = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()}
    for directory in sorted(path.parent for path in (TESTS / kind).rglob("test_*.py")):
        parts = directory.relative_to(TESTS / kind).parts
        assert not parts or parts[0] in rooms | _NOT_ROOMS, directory
    top = {path.stem.removeprefix("test_") for path in (TESTS / kind).glob("test_*.py")}
    assert top <= {path.stem for path in PACKAGE.glob("*.py")}


def test_every_test_is_a_unit_an_integration_or_a_lint_test() -> None:
    kinds = {path.relative_to(TESTS).parts[0] for path in TESTS.rglob("test_*.py")}
    assert kinds == {"unit", "integration", "lint"}


def test_unit_tests_need_no_host() -> None:
    fixtures = {"host", "primed", "crowded", "hybrid"}
    for path in (TESTS / "unit").rglob("*.py"):
        names = {node.id for node in ast.walk(_tree(path)) if isinstance(node, ast.Name)}
        arguments = {node.arg for node in ast.walk(_tree(path)) if isinstance(node, ast.arg)}
        assert "Host" not in names, path
        assert not fixtures & arguments, path


def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())
