"""Hosts with servers of their own."""

import os
from collections.abc import Iterator

import pytest

from tests.harness import Host
from tests.integration.forkserver.served import ServedHost


@pytest.fixture
def host() -> Iterator[Host]:
    """Here no host shares the server of the other tests."""
    if os.geteuid() != 0:
        pytest.skip("needs root: it makes namespaces")
    with Host(own_server=True) as made:
        yield made


@pytest.fixture(scope="module")
def served() -> Iterator[ServedHost]:
    """The host has a cgroup `odd`, and its own tree once more at /run/tree."""
    if os.geteuid() != 0:
        pytest.skip("needs root: it makes namespaces")
    with Host(own_server=True) as host:
        host.sh("mkdir /sys/fs/cgroup/odd /run/tree; mount --rbind / /run/tree; mount --make-rslave /run/tree")
        made = ServedHost(host)
        yield made
        assert made.log() == ""  # no exception in a server
