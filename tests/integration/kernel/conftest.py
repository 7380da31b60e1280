"""Fixtures of the kernel tests."""

import os
from collections.abc import Iterator

import pytest

from tests.integration.kernel.cgroup_bench import Bench, groups_named


@pytest.fixture
def bench() -> Iterator[Bench]:
    if os.geteuid() != 0:
        pytest.skip("needs root: it makes cgroups")
    made = Bench()
    assert not groups_named(made.instance)
    try:
        yield made
    finally:
        made.close()
    assert not groups_named(made.instance)
