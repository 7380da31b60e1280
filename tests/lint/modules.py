"""The modules of minirun and their imports, read from the source."""

import ast
from functools import cache
from pathlib import Path

from tests.harness.host import REPO

PACKAGE = REPO / "minirun"


@cache
def modules() -> dict[str, Path]:
    """Each module by its dotted name; a package by that of the package."""
    return {_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def _name(path: Path) -> str:
    return ".".join(path.relative_to(REPO).with_suffix("").parts).removesuffix(".__init__")


def imported(path: Path) -> list[str]:
    """What a file imports, anywhere in it: `from a import b` is a.b where that is a module, else a."""
    found = []
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            found += [name if name in modules() else node.module for name in names]
    return found


def imports() -> dict[str, set[str]]:
    """For each module of minirun the modules of minirun that it imports."""
    return {
        name: {other for other in imported(path) if other in modules()} - {name} for name, path in modules().items()
    }


def circles() -> list[list[str]]:
    """The groups of modules that import each other: the strongly connected components of more than one (Tarjan)."""
    graph = imports()
    index: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(name: str) -> None:
        index[name] = lowest[name] = len(index)
        stack.append(name)
        for other in graph[name]:
            if other not in index:
                visit(other)
            if other in stack:
                lowest[name] = min(lowest[name], lowest[other])
        if lowest[name] == index[name]:
            group = stack[stack.index(name) :]
            del stack[stack.index(name) :]
            if len(group) > 1:
                found.append(sorted(group))

    for name in graph:
        if name not in index:
            visit(name)
    return found
