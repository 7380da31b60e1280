"""Fixtures of the command-line tests."""

from collections.abc import Iterator

import pytest

from tests.harness import Host, eventually


@pytest.fixture(scope="module")
def peopled() -> Iterator[Host]:
    """A host with one container of each kind, created in this order."""
    with Host() as host:
        run = ("run", "-d", "--name")
        host.minirun("network", "create", "database")
        host.minirun(*run, "web", "-p", "8080:80", "-p", "8081:81/udp", "--expose", "90", "busybox", "sleep", "1000")
        host.minirun(*run, "db", "--net=database", "--label", "tier=back", "--label", "x", "busybox", "sleep", "1000")
        host.minirun(*run, "side", "--net=container:web", "-v", "/usr:/mnt", "busybox", "sleep", "1000")
        host.minirun(*run, "still", "--net=none", "busybox", "sleep", "1000")
        host.minirun("pause", "still")
        checked = ("--health-cmd", "true", "--health-interval", "0.1s")
        host.minirun(*run, "well", "--net=host", *checked, "--label", "tier=front", "busybox", "sleep", "1000")
        host.minirun(
            "run", "--name", "failed", "--net=none", "busybox", "sh", "-c", "echo 12345 > /x; exit 3", check=False
        )
        host.minirun("create", "--name", "made", "-p", "9000:90", "busybox", "sleep", "1000")
        eventually(lambda: "healthy" in host.minirun("ps", "--filter", "name=well").stdout)
        yield host
