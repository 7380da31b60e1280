"""A room imports only rooms below it, no modules import each other in a circle, and only kernel/ touches the kernel.

The layers are contracts of import-linter, in pyproject.toml.
"""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.harness.host import REPO
from tests.lint.modules import circles, imported, modules

LINT = str(Path(sys.executable).with_name("lint-imports"))
CONFIG = REPO / "pyproject.toml"


def lint(*words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([LINT, "--no-cache", *words], cwd=REPO, capture_output=True, text=True, check=False)


def test_a_room_imports_only_rooms_below_it() -> None:
    done = lint(str(CONFIG), "--contract", "layers")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("contract", ["network", "typer", "testing"])
def test_a_room_is_used_by_its_front_door(contract: str) -> None:
    """The engine knows network.operations alone, and nothing below the command line knows how it is read."""
    done = lint(str(CONFIG), "--contract", contract)
    assert done.returncode == 0, done.stdout + done.stderr


def test_only_the_kernel_room_touches_the_kernel() -> None:
    done = lint(str(CONFIG), "--contract", "kernel")
    assert done.returncode == 0, done.stdout + done.stderr
    users = [name for name, path in modules().items() if "minirun.kernel._sys" in imported(path)]
    assert users
    assert all(name.startswith("minirun.kernel.") for name in users), users  # import-linter sees no compiled modules


@pytest.mark.parametrize(("old", "new"), [('"network"', '"networking"'), ('    "image",\n', "")])
def test_the_layers_must_be_all_rooms_by_their_names(tmp_path: Path, old: str, new: str) -> None:
    text = CONFIG.read_text()
    start = text.index("[tool.importlinter]")
    assert old in text[start:]
    changed = tmp_path / "pyproject.toml"
    changed.write_text(text[:start] + text[start:].replace(old, new, 1))
    done = lint(str(changed), "--contract", "layers")
    assert done.returncode != 0
    assert ("networking" if new else "image") in done.stdout + done.stderr


def test_every_room_is_a_layer() -> None:
    contracts = tomllib.loads(CONFIG.read_text())["tool"]["importlinter"]["contracts"]
    (layers,) = [set(contract["layers"]) for contract in contracts if contract["id"] == "layers"]
    assert layers == {name.split(".")[1] for name in modules() if name != "minirun"}


def test_no_modules_import_each_other_in_a_circle() -> None:
    assert circles() == []
