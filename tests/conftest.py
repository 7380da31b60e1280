"""Fixtures: a throwaway host for each test that asks for one."""

import os
import signal
from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.harness import Host, eventually, fork_server
from tests.harness.host import MINIRUN
from tests.harness.lab_limits import mark_expected
from tests.harness.skip_policy import pytest_runtest_makereport

__all__ = ["pytest_runtest_makereport"]

settings.register_profile("any machine", deadline=None)  # a busy one is no failure
settings.load_profile("any machine")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--most-cases", type=int, metavar="N", help="run the first N cases of each parametrized test")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    mark_expected(items)
    _take_first_cases(config, items)


def _take_first_cases(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Take the first cases of each test, for a run in which their table makes no difference (.ci/run)."""
    most = config.getoption("--most-cases")
    if most is None:
        return
    seen: Counter[str] = Counter()
    left_out = []
    for item in items:
        test = item.nodeid.partition("[")[0]
        seen[test] += 1
        if seen[test] > most:
            left_out.append(item)
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in set(left_out)]


def pytest_configure(config: pytest.Config) -> None:
    """The server is started by the process that the others are started from, before them."""
    for number in (signal.SIGHUP, signal.SIGQUIT):  # ignored under nohup, and in the background of a script
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if fork_server.is_wanted() and not hasattr(config, "workerinput") and not config.option.collectonly:
        fork_server.start(MINIRUN)


def pytest_unconfigure(config: pytest.Config) -> None:
    if fork_server.is_wanted() and not hasattr(config, "workerinput") and not config.option.collectonly:
        fork_server.stop(MINIRUN)


@pytest.fixture
def host() -> Iterator[Host]:
    if os.geteuid() != 0:
        pytest.skip("needs root: it makes namespaces")
    with Host() as made:
        yield made


@pytest.fixture
def primed(host: Host) -> Host:
    """A host on which minirun has run once: the image is built, the default bridge and the table stand."""
    host.minirun("run", "--rm", "busybox", "true")
    # The veth goes a moment after its namespace: not part of what a test finds before it begins.
    eventually(lambda: "veth" not in host.sh("ip link"))
    return host


@pytest.fixture(scope="module")
def crowded() -> Iterator[Host]:
    """One host for many harmless cases: a container named `base` runs on it."""
    if os.geteuid() != 0:
        pytest.skip("needs root: it makes namespaces")
    with Host() as made:
        made.minirun("run", "-d", "--name", "base", "busybox", "sleep", "1000")
        yield made


@pytest.fixture(scope="module")
def hybrid() -> Iterator[Host]:
    with Host(hybrid=True) as host:
        if not host.sh("ls -d /sys/fs/cgroup/memory 2>/dev/null || true"):
            pytest.skip("this machine has no v1 controllers")
        host.minirun("run", "--rm", "busybox", "true")
        yield host
