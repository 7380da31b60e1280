"""Every primitive of the kernel has a step, and every step a primitive."""

import ast

from minirun.diagnostics.explain.primitives import _DETAILS, EITHER, ENDING, STEP_OF
from minirun.diagnostics.explain.rule_changes import PRIMITIVES
from minirun.diagnostics.explain.steps import STEPS
from tests.harness.host import REPO

ROOT = REPO / "minirun"


def test_every_primitive_has_a_step_and_every_step_a_primitive() -> None:
    primitives = set()
    for file in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.FunctionDef) and any(map(_is_shell, node.decorator_list)):
                primitives.add(node.name)
    assert primitives == set(STEP_OF)
    assert set(STEP_OF.values()) | {"pause"} == set(STEPS)
    assert primitives >= {*_DETAILS, *EITHER, *ENDING, *PRIMITIVES}


def _is_shell(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "shell"
