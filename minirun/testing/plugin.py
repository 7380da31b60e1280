"""The plugin for pytest: fixtures, options, and what a failing test's report says of its containers.

Fixtures:

    host        this machine (a throwaway one with --minirun-host=throwaway, or without root), for the session
    minirun     a throwaway host, for the session
    container   run(image, ...) as Host.run; the containers go with the test
    network     network(name) as Host.network; the networks go with the test

`db = container_fixture(image, scope="module")` makes a fixture of another scope. Scope "run" is one container for all
workers of pytest-xdist: the first that asks for it makes it, and it ends with the whole run.
"""

import json
import os
import select
import subprocess
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from minirun.testing.container import Container, ContainerHost
from minirun.testing.failures import HostError
from minirun.testing.host import TIMEOUT, Host, Network
from minirun.testing.reachability import explain_connection
from minirun.testing.shared import Run, written

_KEPT = pytest.StashKey[list[ContainerHost]]()
_END = pytest.StashKey[tuple[int, int]]()  # a pipe: what reads it sees its end when this process has ended
_HERE = "this"
_MOST_TRACED = 8  # connections, each of which may take seconds
_SCOPES = ("function", "class", "module", "package", "session")
Factory = Callable[..., Container]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options --minirun-*."""
    group = parser.getgroup("minirun", "containers for tests (minirun.testing)")
    group.addoption(
        "--minirun-keep", action="store_true", help="keep the containers of failing tests, and print how to get in"
    )
    group.addoption(
        "--minirun-timeout", type=float, default=TIMEOUT, help="seconds that a container may take to become ready"
    )
    group.addoption(
        "--minirun-host",
        choices=(_HERE, "throwaway"),
        default=_HERE,
        help="where `host`, `container` and `network` are: this machine, or a throwaway one",
    )
    group.addoption(
        "--minirun-pcap",
        choices=("fail", "never"),
        default="never",
        help="fail: capture the packets of each test's containers, and keep them in a pcap file when it fails",
    )


def pytest_configure(config: pytest.Config) -> None:
    """In a worker of pytest-xdist: end with the process that the run belongs to."""
    config.stash[_KEPT] = []
    owner = _owner_of_run(config)
    if owner != os.getpid():
        threading.Thread(target=_end_with, args=(os.pidfd_open(owner),), daemon=True).start()


def _end_with(pidfd: int) -> None:
    """Wait for the end of the run's process, and end this one: without it, a worker finishes its test first, whose
    containers would live as long."""
    select.select([pidfd], [], [])
    os._exit(1)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a worker of pytest-xdist which process ends with the run: this one. No other process has the pipe's write
    end, so the kernel closes it with this process."""
    if _END not in node.config.stash:
        node.config.stash[_END] = os.pipe()
    node.workerinput["minirun_owner"] = os.getpid()
    node.workerinput["minirun_end"] = node.config.stash[_END][0]


def pytest_unconfigure(config: pytest.Config) -> None:
    """The run has ended: so does the throwaway host that its workers have shared."""
    for fd in config.stash.get(_END, ()):
        os.close(fd)


def _owner_of_run(config: pytest.Config) -> int:
    return int(getattr(config, "workerinput", {}).get("minirun_owner", os.getpid()))


@pytest.fixture(scope="session")
def minirun(request: pytest.FixtureRequest) -> Iterator[Host]:
    """A throwaway host: nothing of this machine's network is seen there, nor the other way round."""
    with Host.throwaway(request.config.getoption("--minirun-timeout")) as made:
        yield made


@pytest.fixture(scope="session")
def host(request: pytest.FixtureRequest) -> Iterator[Host]:
    """This machine, or a throwaway one with --minirun-host=throwaway and for users who are not root."""
    if request.config.getoption("--minirun-host") != _HERE or os.geteuid() != 0:
        yield request.getfixturevalue("minirun")
        return
    made = Host(request.config.getoption("--minirun-timeout"))
    yield made
    if request.config.stash[_KEPT]:
        return  # --minirun-keep: the containers that are left are those of failing tests
    made.close()


@pytest.fixture
def container(host: Host, request: pytest.FixtureRequest) -> Iterator[Factory]:
    """Run containers for this test: `container("busybox", ["httpd", "-f"], ports=[80], ready=listening(80))`."""
    with _containers(host, request) as run:
        yield run


@pytest.fixture
def network(host: Host, request: pytest.FixtureRequest) -> Iterator[Callable[..., Network]]:
    """Create networks for this test: `network("backend")`."""
    made: list[Network] = []

    def create(name: str = "net", *flags: str) -> Network:
        made.append(host.network(name, *flags))
        return made[-1]

    yield create
    for each in made:
        if not _keeps(request.node):
            each.remove()


def container_fixture(image: str, command: Any = (), *, scope: str = "function", name: str = "", **options: Any) -> Any:
    """Return a fixture that runs a container: `db = container_fixture("postgres", scope="run", ready=listening(5432))`.

    `scope` is one of pytest's, or "run" for one container that all workers of pytest-xdist share. The other arguments
    are those of Host.run, without networks.
    """
    if scope == "run":
        return _run_fixture(image, command, name, options)
    if scope not in _SCOPES:
        raise ValueError(f"scope {scope!r}: must be run, {', '.join(_SCOPES)}")

    def made(host: Host, request: pytest.FixtureRequest) -> Iterator[Container]:
        with _containers(host, request) as run:
            yield run(image, command, name=name, **options)

    decorate: Any = pytest.fixture
    return decorate(scope=scope)(made)


def _run_fixture(image: str, command: Any, name: str, options: dict[str, Any]) -> Any:
    """One container for the whole run, owned by the process that the workers are of."""

    @pytest.fixture(scope="session")
    def made(host: Host, request: pytest.FixtureRequest) -> Iterator[Container]:
        owner = _owner_of_run(request.config)
        run = Run(owner, request.config.getoption("--minirun-timeout"))
        if not host.client.pid:
            place = Host(host.timeout, owner)
        elif owner == os.getpid():
            place = host
        else:
            place = run.throwaway_host(request.config.workerinput["minirun_end"])  # type: ignore[attr-defined]
        words = json.dumps([image, list(command), name, sorted(options.items())], default=written)
        container = run.container(words, place, lambda: place.run(image, command, name=name, **options))
        yield container
        if owner == os.getpid():
            container.remove()

    return made


@contextmanager
def _containers(host: Host, request: pytest.FixtureRequest) -> Iterator[Factory]:
    made: list[Container] = []
    node = request.node
    with ExitStack() as captures:

        def run(*args: Any, **options: Any) -> Container:
            before = {each.id for each in host.containers()}
            try:
                made.append(host.run(*args, **options))
            except HostError:  # one that did not become ready is there, too
                made.extend(each for each in host.containers() if each.id not in before)
                _of(node).extend(made[-1:])
                raise
            _of(node).append(made[-1])
            if request.config.getoption("--minirun-pcap") == "fail":
                captures.enter_context(_captured(made[-1], node))
            return made[-1]

        yield run
    for container in made:
        if not _keeps(node):
            container.remove()


@contextmanager
def _captured(container: Container, node: Any) -> Iterator[None]:
    """Meanwhile `minirun capture` writes the container's packets to a file, which is kept if the test has failed."""
    path = node.config.rootpath / f"{container.name}.pcap"
    words = container.host.client.argv(["capture", container.name, "--count", "100000", "--write", str(path)])
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait()
        if not _has_failed(node):
            path.unlink(missing_ok=True)


# --- what a failing test reports

_CONTAINERS = pytest.StashKey[list[Container]]()
_FAILED = pytest.StashKey[bool]()


def _of(node: Any) -> list[Container]:
    """The containers of a test, a class, a module or the session."""
    found: list[Container] = node.stash.setdefault(_CONTAINERS, [])
    return found


def _has_failed(node: Any) -> bool:
    return bool(node.stash.get(_FAILED, False))


def _keeps(node: Any) -> bool:
    return _has_failed(node) and bool(node.config.getoption("--minirun-keep"))


def _is_connection_failure(error: BaseException | None) -> bool:
    """Whether an exception, or what it was raised for, says that a connection failed. Clients wrap theirs."""
    while error is not None:
        if isinstance(error, (ConnectionError, TimeoutError)):
            return True
        error = error.__cause__ or error.__context__
    return False


def _connections(containers: Iterable[Container]) -> Iterator[str]:
    """What becomes of packets from the host to the ports that a test may have connected to."""
    ports = []
    for each in containers:
        published = {int(port) for port in each.options.ports if port.isdecimal()}
        ports += [(each, port) for port in sorted(published | each.host.failed_ports(each))]
    for container, port in ports[:_MOST_TRACED]:
        try:
            yield explain_connection(container, port)
        except (HostError, OSError) as error:
            yield f"the host to {container.alias}:{port}: {error}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the logs and ends of the containers, and the map, to the report of a failing test; and when a connection has
    failed, the reason."""
    report = yield
    if not report.failed or report.when == "teardown":
        return report
    containers: list[Container] = []
    for node in item.listchain():
        node.stash[_FAILED] = True
        containers += _of(node)
    containers += [value for value in getattr(item, "funcargs", {}).values() if isinstance(value, Container)]
    unique = {each.id: each for each in containers}.values()
    for each in unique:
        try:
            report.sections.append((f"minirun: {each.name}", each.report()))
        except (HostError, OSError) as error:
            report.sections.append((f"minirun: {each.name}", str(error)))
    if call.excinfo is not None and _is_connection_failure(call.excinfo.value):
        report.sections.append(("minirun: connections", "\n".join(_connections(unique))))
    for drawn in {id(each.host): each.host for each in unique}.values():
        report.sections.append(("minirun: map", drawn.map()))
        if item.config.getoption("--minirun-keep"):
            item.config.stash[_KEPT].append(drawn)
            enter = [" ".join(drawn.client.argv(["exec", "-it", each.name, "sh"])) for each in unique]
            report.sections.append(("minirun: kept until pytest ends; get in with", "\n".join(enter)))
    return report
