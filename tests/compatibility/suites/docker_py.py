"""docker-py's integration tests: all but those of a swarm, of plugins, and of programs that keep passwords."""

from collections.abc import Sequence
from pathlib import Path

from tests.compatibility.outcomes import Outcome
from tests.compatibility.stage import Stage, lay_copy
from tests.compatibility.suites.pytest_run import run_pytest

_LEFT_OUT = ("*service*", "*swarm*", "*plugin*", "*secret*", "*config*", "*nodes*", "credentials")


def run(stage: Stage, words: Sequence[str]) -> Sequence[Outcome]:
    """`words` are pytest's."""
    tree = lay_copy(stage.peers.source("docker-py"), Path("/tmp/compatibility-docker-py"))
    stage.pull("alpine:3.10", "busybox", "alpine")
    left_out = [f"--ignore-glob=tests/integration/{name}" for name in _LEFT_OUT]
    chosen = words or ("tests/integration",)
    return run_pytest(stage, tree, [*left_out, *chosen], {"DOCKER_TEST_API_VERSION": "1.51"})
