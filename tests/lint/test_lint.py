"""Lint is tests: one command checks everything."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness.host import REPO

LAYERS = {  # what a layer's modules may not import, whatever happens: see CONTRIBUTING.md
    "minirun/kernel": ("minirun.cli", "minirun.network", "minirun.store", "minirun.engine", "minirun.model"),
    "minirun/init": ("minirun.cli", "minirun.network", "minirun.store", "minirun.engine", "minirun.instance"),
    "minirun/network": ("minirun.cli", "minirun.shim"),
    "minirun/image": ("minirun.cli", "minirun.engine", "minirun.network", "minirun.shim"),
    "minirun/model.py": ("minirun.",),
    "minirun/store": ("minirun.cli", "minirun.network", "minirun.engine"),
}


@pytest.mark.parametrize(
    "tool",
    [
        ["ruff", "check", "."],
        ["ruff", "format", "--check", "."],
        ["mypy"],
        ["codespell_lib"],
    ],
    ids=lambda tool: " ".join(tool[:2]),
)
def test_tool(tool: list[str]) -> None:
    done = subprocess.run([sys.executable, "-m", *tool], cwd=REPO, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("layer", list(LAYERS))
def test_a_layer_knows_only_those_below_it(layer: str) -> None:
    place = REPO / layer
    for file in place.rglob("*.py") if place.is_dir() else [place]:
        for name in _imports(file):
            assert not name.startswith(LAYERS[layer]), f"{file} imports {name}"


def _imports(file: Path) -> list[str]:
    nodes = list(ast.walk(ast.parse(file.read_text())))
    found = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    return found + [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]


def test_every_kernel_primitive_that_changes_something_says_its_command() -> None:
    """A function of kernel/ whose name is noun_verb of a change carries @shell on the line above."""
    verbs = ("_add", "_del", "_up", "_on", "_write", "_mount", "_kill", "_attach", "_share")
    for file in (REPO / "minirun/kernel").glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.FunctionDef) and node.name.endswith(verbs) and not node.name.startswith("_"):
                decorators = [ast.unparse(one) for one in node.decorator_list]
                assert any(one.startswith("shell(") for one in decorators), f"{file.name}: {node.name}"


def test_no_helper_program_is_started() -> None:
    for file in (REPO / "minirun").rglob("*.py"):
        if file.name != "busybox.py":
            assert "subprocess" not in _imports(file), file


def test_nothing_in_the_repository_names_this_machine() -> None:
    files = subprocess.run(["git", "ls-files"], cwd=REPO, capture_output=True, text=True, check=False).stdout.split()
    for name in files:
        path = REPO / name
        if path.is_file() and not path.is_symlink():
            assert not re.search(rb"/home/[a-z]|[/]work[/]", path.read_bytes()), name
