"""Fixtures of the archive tests."""

from collections.abc import Iterator

import pytest

from tests.harness import Host, assert_same
from tests.integration.archive.box import Box


@pytest.fixture
def box(host: Host) -> Iterator[Box]:
    """Afterwards: no mount and no process more than before."""
    made = Box(host)
    yield made
    assert_same(host, made.before)
