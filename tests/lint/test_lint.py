"""Lint is tests: one command checks everything."""

import ast
import re
import subprocess
import sys

import pytest

from tests.harness.host import REPO


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


def test_every_kernel_primitive_that_changes_something_says_its_command() -> None:
    """A function of kernel/ whose name is noun_verb of a change carries @shell on the line above."""
    verbs = ("_add", "_del", "_up", "_on", "_write", "_mount", "_kill", "_attach", "_share")
    for file in (REPO / "minirun/kernel").glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.FunctionDef) and node.name.endswith(verbs) and not node.name.startswith("_"):
                decorators = [ast.unparse(one) for one in node.decorator_list]
                assert any(one.startswith("shell(") for one in decorators), f"{file.name}: {node.name}"


def test_nothing_in_the_repository_names_this_machine() -> None:
    files = subprocess.run(["git", "ls-files"], cwd=REPO, capture_output=True, text=True, check=False).stdout.split()
    for name in files:
        path = REPO / name
        if path.is_file() and not path.is_symlink():
            assert not re.search(rb"/home/[a-z]|[/]work[/]", path.read_bytes()), name
