"""The suites: each starts another project's tests, or ours through other people's clients, and returns outcomes."""

from collections.abc import Callable, Mapping, Sequence

from tests.compatibility.outcomes import Outcome
from tests.compatibility.stage import Stage
from tests.compatibility.suites import cli, compose, docker_py, podman_apiv2, podman_python, testcontainers

# The words are what the user gives to choose tests, in the suite's own manner.
Suite = Callable[[Stage, Sequence[str]], Sequence[Outcome]]

SUITES: Mapping[str, Suite] = {
    "cli": cli.run,
    "docker-py": docker_py.run,
    "podman-apiv2": podman_apiv2.run,
    "podman-python": podman_python.run,
    "testcontainers": testcontainers.run,
    "testcontainers-ryuk": testcontainers.run_with_ryuk,
    "compose": compose.run,
}
