"""A host with a server that listens, for many harmless cases."""

import os
from collections.abc import Iterator

import pytest

from tests.harness import Host
from tests.integration.forkserver.served import ServedHost


@pytest.fixture(scope="module")
def served() -> Iterator[ServedHost]:
    """The host has a cgroup `odd`, and its own tree once more at /run/tree."""
    if os.geteuid() != 0:
        pytest.skip("needs root: it makes namespaces")
    with Host() as host:
        host.sh("mkdir /sys/fs/cgroup/odd /run/tree; mount --rbind / /run/tree; mount --make-rslave /run/tree")
        made = ServedHost(host)
        yield made
        assert made.log() == ""  # no exception in a server
