"""minirun.testing for asyncio: the same names, and what waits is awaited. Each call runs in a thread of its own.

    from minirun.testing import listening
    from minirun.testing.aio import Host

    async with Host() as host:
        async with host.run("busybox", ["httpd", "-f", "-p", "80"], ports=[80], ready=listening(80)) as web:
            print(await web.exec("hostname"))

What makes something can be awaited, or be the head of `async with`, which removes it in the end. Conditions, errors
and what is returned are those of `minirun.testing`. A task that is cancelled does not end its call: what that makes is
removed when the host is closed, or when this process ends. The object for the same without asyncio is `.sync`.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterable, Mapping, Sequence
from functools import partial, wraps
from types import TracebackType
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

import minirun.testing as testing

P = ParamSpec("P")
R = TypeVar("R")
Sync = TypeVar("Sync")
Sync_co = TypeVar("Sync_co", covariant=True)
Made = TypeVar("Made", bound="_Removable")


class _Wrapped(Generic[Sync_co]):
    """The asynchronous side of an object."""

    def __init__(self, sync: Sync_co) -> None:
        self._sync = sync

    @property
    def sync(self) -> Sync_co:
        """The object of `minirun.testing`."""
        return self._sync


class _Removable:
    """What `async with` removes in the end."""

    async def _remove(self) -> None:
        raise NotImplementedError

    async def __aenter__(self: Made) -> Made:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self._remove()


class Pending(Generic[Made]):
    """Something that is being made: await it, or use it with `async with`."""

    def __init__(self, begin: Callable[[], Coroutine[Any, Any, Made]]) -> None:
        self._begin = begin
        self._made: Made | None = None

    def __await__(self) -> Generator[Any, None, Made]:
        return self._begin().__await__()

    async def __aenter__(self) -> Made:
        self._made = await self._begin()
        return await self._made.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        if self._made is not None:
            await self._made.__aexit__(kind, error, tb)


def _awaited(
    function: Callable[Concatenate[Sync, P], R],
) -> Callable[Concatenate[_Wrapped[Sync], P], Awaitable[R]]:
    """The method as a coroutine."""

    @wraps(function)
    async def call(self: _Wrapped[Sync], /, *args: P.args, **kwargs: P.kwargs) -> R:
        return await asyncio.to_thread(function, self.sync, *args, **kwargs)

    return call


async def _in_thread(kind: Callable[[R], Made], function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Made:
    """What the function makes, as its asynchronous side."""
    return kind(await asyncio.to_thread(function, *args, **kwargs))


def _making(
    kind: Callable[[R], Made], function: Callable[Concatenate[Sync, P], R]
) -> Callable[Concatenate[_Wrapped[Sync], P], Pending[Made]]:
    """The method that makes something, whose asynchronous side `kind` is."""

    @wraps(function)
    def call(self: _Wrapped[Sync], /, *args: P.args, **kwargs: P.kwargs) -> Pending[Made]:
        return Pending(lambda: _in_thread(kind, function, self.sync, *args, **kwargs))

    return call


class Fault(_Wrapped[testing.Fault], _Removable):
    """A fault on a cable."""

    heal = _awaited(testing.Fault.heal)

    async def _remove(self) -> None:
        await self.heal()


class _CableFaults:
    """Those of a container and of a network."""

    loss = _making(Fault, testing.Container.loss)
    delay = _making(Fault, testing.Container.delay)
    bandwidth = _making(Fault, testing.Container.bandwidth)
    blackhole = _making(Fault, testing.Container.blackhole)
    reset = _awaited(testing.Container.reset)


class Snapshot(_Wrapped[testing.Snapshot], _Removable):
    """A container's files at one moment."""

    remove = _awaited(testing.Snapshot.remove)

    def run(self, command: Sequence[str] = (), ready: testing.Condition | None = None) -> "Pending[Container]":
        """A fresh container with these files."""
        return Pending(lambda: _in_thread(Container, self.sync.run, command, ready))

    async def _remove(self) -> None:
        await self.remove()


class Container(_CableFaults, _Wrapped[testing.Container], _Removable):
    """A container."""

    exec = _awaited(testing.Container.exec)
    logs = _awaited(testing.Container.logs)
    inspect = _awaited(testing.Container.inspect)
    state = _awaited(testing.Container.state)
    address = _awaited(testing.Container.address)
    port = _awaited(testing.Container.port)
    connect = _awaited(testing.Container.connect)
    stop = _awaited(testing.Container.stop)
    kill = _awaited(testing.Container.kill)
    start = _awaited(testing.Container.start)
    restart = _awaited(testing.Container.restart)
    wait = _awaited(testing.Container.wait)
    copy_in = _awaited(testing.Container.copy_in)
    copy_out = _awaited(testing.Container.copy_out)
    snapshot = _making(Snapshot, testing.Container.snapshot)
    pause = _making(Fault, testing.Container.pause)
    unpause = _awaited(testing.Container.unpause)
    remove = _awaited(testing.Container.remove)

    async def _remove(self) -> None:
        await self.remove()


class Dns(_Wrapped[testing.Dns]):
    """False answers of a network's DNS server to the containers in it."""

    answer = _making(Fault, testing.Dns.answer)
    fail = _making(Fault, testing.Dns.fail)


class Network(_CableFaults, _Wrapped[testing.Network], _Removable):
    """A network."""

    inspect = _awaited(testing.Network.inspect)
    remove = _awaited(testing.Network.remove)

    @property
    def name(self) -> str:
        """Its name, which is unique on the host."""
        return self.sync.name

    @property
    def dns(self) -> Dns:
        """False answers to queries for names."""
        return Dns(self.sync.dns)

    async def connect(self, container: Container, alias: str = "") -> None:
        """Connect a running container; `alias` is one more DNS name for it there."""
        await asyncio.to_thread(self.sync.connect, container.sync, alias)

    async def disconnect(self, container: Container) -> None:
        """Disconnect a container."""
        await asyncio.to_thread(self.sync.disconnect, container.sync)

    def partition(self, one: Container, other: Container) -> Pending[Fault]:
        """Let no packet pass between two containers in this network."""
        return Pending(lambda: _in_thread(Fault, self.sync.partition, one.sync, other.sync))

    async def _remove(self) -> None:
        await self.remove()


class Images(_Wrapped[testing.Images]):
    """The images of a host."""

    pull = _awaited(testing.Images.pull)
    load = _awaited(testing.Images.load)
    import_tree = _awaited(testing.Images.import_tree)
    names = _awaited(testing.Images.names)

    async def build(
        self, context: str | os.PathLike[str], dockerfile: str = "", target: str = "", **build_args: str
    ) -> str:
        """Build a Dockerfile. Returns the image's name."""
        return await asyncio.to_thread(self.sync.build, context, dockerfile, target, **build_args)


class Host(_Wrapped[testing.Host], _Removable):
    """A host. Without `sync` it is this machine."""

    def __init__(self, sync: testing.Host | None = None) -> None:
        super().__init__(sync or testing.Host())

    @classmethod
    def throwaway(cls) -> "Pending[Host]":
        """A host of its own, which is thrown away in the end."""
        return Pending(lambda: _in_thread(cls, testing.Host.throwaway))

    @classmethod
    def rootless(cls) -> "Pending[Host]":
        """A throwaway host in a lab of an ordinary user."""
        return Pending(lambda: _in_thread(cls, testing.Host.rootless))

    @property
    def images(self) -> Images:
        """Its images."""
        return Images(self.sync.images)

    def run(
        self,
        image: str,
        command: Sequence[str] = (),
        *,
        ports: Iterable[int | str] = (),
        env: Mapping[str, str] | None = None,
        networks: Iterable[Network | str] = (),
        volumes: Iterable[str] = (),
        ready: testing.Condition | None = None,
        name: str = "",
        timeout: float | None = None,
        flags: Sequence[str] = (),
    ) -> Pending[Container]:
        """Run a container in the background: see `minirun.testing.Host.run`."""
        joined = [network.sync if isinstance(network, Network) else network for network in networks]
        begin = partial(
            self.sync.run, image, command, ports=ports, env=env, networks=joined, volumes=volumes, ready=ready
        )
        return Pending(lambda: _in_thread(Container, begin, name=name, timeout=timeout, flags=flags))

    network = _making(Network, testing.Host.network)
    map = _awaited(testing.Host.map)
    close = _awaited(testing.Host.close)

    async def containers(self) -> list[Container]:
        """Its containers."""
        return [Container(one) for one in await asyncio.to_thread(self.sync.containers)]

    async def _remove(self) -> None:
        await self.close()


async def assert_reaches(source: Container, target: Container, port: int) -> None:
    """Fail, and say why, unless a connection can be made."""
    await asyncio.to_thread(testing.assert_reaches, source.sync, target.sync, port)


async def assert_blocked(source: Container, target: Container, port: int) -> None:
    """Fail unless a connection cannot be made."""
    await asyncio.to_thread(testing.assert_blocked, source.sync, target.sync, port)
