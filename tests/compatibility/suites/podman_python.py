"""podman's tests of its Docker side through docker-py. The podman that they start is a way to the engine here."""

from collections.abc import Sequence
from pathlib import Path

from tests.compatibility.outcomes import Outcome
from tests.compatibility.stage import Stage, lay_copy
from tests.compatibility.suites.podman_program import lay_program
from tests.compatibility.suites.pytest_run import run_pytest


def run(stage: Stage, words: Sequence[str]) -> Sequence[Outcome]:
    """`words` are pytest's."""
    tree = lay_copy(stage.peers.source("podman"), Path("/tmp/compatibility-podman"))
    (tree / "test/__init__.py").touch()  # else Python's own package `test` is found
    program = lay_program(stage)
    # They speak to 127.0.0.1:8080, and the recorder listens one further: what they start forwards.
    environment = {"PODMAN": str(program), "PYTHONPATH": str(tree)}
    return run_pytest(stage, tree, words or ("test/python/docker/compat",), environment)
