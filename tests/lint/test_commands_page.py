"""docs/commands.md: every verb and flag, each with the test that shows it. UPDATE_GOLDEN=1 writes it anew.

A test counts for a flag when it types that flag and the verb (in its body, its cases, or a table of the module that it
uses). Whether it asserts the right thing is for who reads it; that it is there, and types it, is checked here.
"""

import ast
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import pytest
from typer.main import get_command

from minirun.cli.app import app, load_command
from minirun.cli.commands import ABSENT, ALIASES, COMMANDS, GROUPS
from minirun.cli.help import short_help
from minirun.cli.pflag import long_name, shown
from minirun.cli.refused import REFUSED
from tests.harness.host import REPO

TESTS = REPO / "tests"
TABLE = TESTS.parent / "docs" / "commands.md"
_HEAD = """# Commands and flags

Each with a test that shows it (`./scripts/test -k NAME`). Made from the command line's own tables, and compared with
them, by `UPDATE_GOLDEN=1 ./scripts/test tests/lint/test_commands_page.py`.

Where minirun answers otherwise than Docker, and on purpose, is said in [differences.md](differences.md).
"""


@dataclass(frozen=True)
class Case:
    """A test, and the words it types."""

    name: str
    words: frozenset[str]

    def types(self, verb: str, flag: click.Option) -> bool:
        return self.runs(verb) and any(_is_flag(word, flag) for word in self.words)

    def runs(self, verb: str) -> bool:
        spellings = {verb, *(alias for alias, name in ALIASES.items() if name == verb)}
        return any(set(spelling.split()) <= self.words for spelling in spellings)


def _is_flag(word: str, flag: click.Option) -> bool:
    long = [name for name in flag.opts if name.startswith("--")]
    if any(word == name or word.startswith(f"{name}=") for name in long):
        return True
    short = next((name[1] for name in flag.opts if not name.startswith("--")), "")
    return bool(short) and re.match(rf"-[a-zA-Z]*{short}", word) is not None and not word.startswith("--")


def _cases() -> list[Case]:
    """Those that run commands; what the front end of Dockerfiles reads has the words of instructions."""
    others = {"booted", "dockerfile"}
    paths = [path for path in sorted(TESTS.rglob("test_*.py")) if not others & set(path.parts)]
    return [case for path in paths for case in _cases_of(path)]


def _cases_of(path: Path) -> Iterator[Case]:
    tree = ast.parse(path.read_text())
    shared = {
        name: _words(node)
        for node in tree.body
        for name in _names(node)
        if not name.startswith("test_") and not isinstance(node, ast.Import | ast.ImportFrom)
    }
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            used = {each.id for each in ast.walk(node) if isinstance(each, ast.Name)} & set(shared)
            yield Case(
                f"{path.stem}.py::{node.name}", frozenset().union(_words(node), *(shared[name] for name in used))
            )


def _names(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.FunctionDef):
        return [node.name]
    if isinstance(node, ast.Assign):
        return [each.id for target in node.targets for each in ast.walk(target) if isinstance(each, ast.Name)]
    return [node.target.id] if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) else []


def _words(node: ast.AST) -> frozenset[str]:
    texts = [each.value for each in ast.walk(node) if isinstance(each, ast.Constant) and isinstance(each.value, str)]
    return frozenset(word for text in texts for word in text.split())


def _options(name: str) -> list[click.Option]:
    """What help shows, by name; of minirun itself with ""."""
    command = load_command(name) if name else get_command(app)
    options = [param for param in command.params if isinstance(param, click.Option) and not param.hidden]
    return sorted(options, key=long_name)


def _proof(cases: list[Case], verb: str, flag: click.Option | None = None) -> str:
    found = [case for case in cases if (case.types(verb, flag) if flag else case.runs(verb))]
    # The one that types least besides is the one about it.
    return min(found, key=lambda case: (len(case.words), case.name)).name if found else ""


# Verbs that have their flags from the class of another: what these do is shown there.
_LIKE = {"create": "run", "volume inspect": "inspect"}


def _render(cases: list[Case]) -> tuple[str, list[str]]:
    """(the page, what nothing shows)."""
    lines, missing = [_HEAD, "## Before the command", ""], []
    _render_flags(cases, "", lines, missing)
    for name in sorted(COMMANDS):
        spellings = sorted(alias for alias, canonical in ALIASES.items() if canonical == name)
        also = f" (also {', '.join(f'`{alias}`' for alias in spellings)})" if spellings else ""
        lines += [f"## {name}", "", f"{short_help(load_command(name))}{also}. Shown by `{_proof(cases, name)}`.", ""]
        if not _proof(cases, name):
            missing.append(name)
        _render_flags(cases, name, lines, missing)
    lines += ["## Not supported", "", "Docker's commands that minirun answers with one sentence:", ""]
    lines += [f"- `{name}`: {why}" for name, (why, _) in sorted(ABSENT.items())]
    return "\n".join(lines).rstrip() + "\n", missing


def _render_flags(cases: list[Case], name: str, lines: list[str], missing: list[str]) -> None:
    flags = _options(name)
    if flags:
        lines += ["| flag | what | test |", "|---|---|---|"]
    for flag in flags:
        proof = _proof(cases, name, flag) or _proof(cases, _LIKE.get(name, name), flag)
        if not proof:
            missing.append(f"{name} {long_name(flag)}")
        text = str(flag.help).replace("|", "\\|")
        lines.append(f"| `{shown(flag)}` | {text} | `{proof}` |")
    lines += [""] if flags else []
    if name in REFUSED:
        lines += ["Refused with the reason:", ""]
        reasons = sorted(REFUSED[name].items())
        lines += [f"- `{'--' if len(flag) > 1 else '-'}{flag}`: {why}" for flag, why in reasons]
        lines += [""]


def test_every_verb_and_flag_has_a_test_and_the_page_says_which() -> None:
    page, missing = _render(_cases())
    assert missing == []
    if os.environ.get("UPDATE_GOLDEN"):
        TABLE.write_text(page)
    assert TABLE.read_text() == page, "run UPDATE_GOLDEN=1 ./scripts/test tests/lint/test_commands_page.py"


@pytest.mark.parametrize("verb", sorted(REFUSED))
def test_what_is_refused_is_no_flag(verb: str) -> None:
    command = load_command(verb) if verb else get_command(app)
    names = {name.lstrip("-") for param in command.params for name in param.opts}
    assert not set(REFUSED[verb]) & names


def test_what_is_absent_is_no_command() -> None:
    assert not set(ABSENT) & {*COMMANDS, *ALIASES, *GROUPS}
