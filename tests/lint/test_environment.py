"""requirements-dev.lock names what the tests run with: every dependency, in the version that is installed."""

import re
import tomllib
from importlib import metadata

from tests.harness.host import REPO

LOCKED = dict(line.split("==") for line in (REPO / "requirements-dev.lock").read_text().split() if "==" in line)


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_every_dependency_is_locked() -> None:
    project = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    locked = {_normal(name) for name in LOCKED}
    for requirement in wanted:
        assert _normal(re.split(r"[<>=!~ ]", requirement)[0]) in locked, requirement


def test_the_locked_versions_are_installed() -> None:
    for name, version in LOCKED.items():
        assert metadata.version(name) == version, name
