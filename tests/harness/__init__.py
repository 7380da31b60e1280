"""Throwaway hosts: each test has a machine of its own, so that the real one is never the subject."""

from tests.harness.host import Host, Neighbour
from tests.harness.snapshot import Snapshot, assert_same, eventually
from tests.harness.terminal import Terminal

__all__ = ["Host", "Neighbour", "Snapshot", "Terminal", "assert_same", "eventually"]
