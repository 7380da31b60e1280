"""Fixtures of the network tests: a LAN topology with one IPv6 network, and without containers at the start."""

from collections.abc import Iterator

import pytest

from tests.harness.lan_topology import LanTopology, lan_topology


@pytest.fixture(scope="module")
def place() -> Iterator[LanTopology]:
    with lan_topology() as made:
        made.network("net", "--ipv6")
        yield made


@pytest.fixture
def box(place: LanTopology) -> Iterator[LanTopology]:
    """The same for all tests; each leaves it without containers."""
    yield place
    names = place.host.minirun("ps", "-aq").stdout.split()
    if names:
        place.host.minirun("rm", "-f", *names)
