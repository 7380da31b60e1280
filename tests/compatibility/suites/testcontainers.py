"""The tests of testcontainers' core, without and with Ryuk, the container that removes what a run leaves."""

from collections.abc import Sequence
from pathlib import Path

from tests.compatibility.outcomes import Outcome
from tests.compatibility.stage import Stage, lay_copy
from tests.compatibility.suites.pytest_run import run_pytest

_IMAGES = ("alpine", "busybox", "hello-world", "nginx:alpine-slim", "nginx", "testcontainers/ryuk:0.8.1")
# No matter of an engine: whether modules for single products are imported; and a test with nothing but mocks that walks
# all of the machine's /tmp, where any other program may remove a directory meanwhile.
_LEFT_OUT = (
    "--ignore=tests/core/test_legacy_module_imports.py",
    "--deselect=tests/core/test_wait_strategies.py::TestFileExistsWaitStrategy"
    "::test_wait_until_ready[file_not_exists_timeout]",
)


def run(stage: Stage, words: Sequence[str]) -> Sequence[Outcome]:
    """`words` are pytest's."""
    return _run(stage, words, {"TESTCONTAINERS_RYUK_DISABLED": "true"})


def run_with_ryuk(stage: Stage, words: Sequence[str]) -> Sequence[Outcome]:
    """The same; Ryuk is the program in reaper.py here."""
    return _run(stage, words, {})


def _run(stage: Stage, words: Sequence[str], environment: dict[str, str]) -> Sequence[Outcome]:
    tree = lay_copy(stage.peers.source("testcontainers"), Path("/tmp/compatibility-testcontainers"))
    stage.pull(*_IMAGES)
    plugins = "/run/own/home/.docker/cli-plugins"
    stage.host.sh(f"mkdir -p {plugins} && ln -sf {stage.peers.compose} {plugins}/docker-compose")
    return run_pytest(stage, tree, [*_LEFT_OUT, *(words or ("tests/core",))], environment)
