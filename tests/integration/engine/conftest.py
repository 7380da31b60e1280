"""Fixtures of the engine tests."""

from collections.abc import Iterator

import pytest

from tests.harness import Host
from tests.integration.engine.states import BUSY


@pytest.fixture(scope="module")
def watched() -> Iterator[Host]:
    with Host() as host:
        run = ("run", "-d", "--name")
        host.minirun(*run, "pair", "-t", "busybox", "sh", "-c", "sleep 1000 & exec sleep 2000")
        host.minirun(*run, "busy", "--net=host", "busybox", *BUSY)
        host.minirun("create", "--name", "made", "busybox", "true")
        yield host
