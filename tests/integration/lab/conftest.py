"""A throwaway host with a user who is not root, and labs of that user."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness import Host
from tests.harness.host import MINIRUN
from tests.harness.in_lab import as_user, home


class Machine:
    """A host, and the directory of its user."""

    def __init__(self, host: Host, directory: Path) -> None:
        self.host = host
        self.home = directory
        self.group: Path | None = None  # a cgroup that is the user's

    def words(self, *words: str) -> list[str]:
        return as_user([MINIRUN, *words], self.home, self.group)

    def minirun(self, *words: str, **kwargs: Any) -> Any:
        return self.host.run(self.words(*words), **kwargs)

    def lab(self, script: str, *options: str, **kwargs: Any) -> Any:
        """Run a script in a lab; `minirun` in it is this checkout's."""
        path = f"PATH={Path(MINIRUN).parent}:$PATH"
        return self.minirun("lab", *options, "sh", "-c", f"{path}; {script}", **kwargs)

    def start(self, *words: str) -> "subprocess.Popen[bytes]":
        return self.host.popen(self.words(*words), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    with Host(own_server=True) as host, home() as directory:
        yield Machine(host, directory)
