"""Faults of a network, which heal when their `with` block ends: `network.partition(a, b)`, `container.loss(0.1)`.

A fault is there when the call returns. It heals at the end of the block, by `heal()`, or when the test process ends,
however it does.
"""

import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol

from minirun.testing.client import Client
from minirun.testing.failures import CommandError


class Owner(Protocol):
    """What a fault needs of a host."""

    client: Client
    owner: int


class Place(Protocol):
    """A container or network of a host."""

    @property
    def host(self) -> Owner:
        """The host that it is on."""

    @property
    def id(self) -> str:
        """Its id."""


@dataclass(frozen=True)
class Fault:
    """A fault that is in force. `undo` is the command that heals it."""

    client: Client = field(repr=False)
    undo: tuple[str, ...]

    def __enter__(self) -> "Fault":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.heal()

    def heal(self) -> None:
        """Have everything as before. One that was healed already, or went with its container, is fine."""
        try:
            self.client.run(self.undo)
        except CommandError as error:
            if not any(text in error.text for text in ("No such fault", "No such container", "is not paused")):
                raise


@dataclass(frozen=True)
class Dns:
    """False answers of a network's DNS server to the containers in it."""

    network: Place = field(repr=False)

    def answer(self, name: str, *addresses: str) -> Fault:
        """Answer queries for `name`, of a container or of anything outside, with these addresses."""
        return _added(self.network, "dns", self.network.id, name, *(f"--answer={each}" for each in addresses))

    def fail(self, name: str, how: str = "nxdomain") -> Fault:
        """Let queries for `name` fail: nxdomain, servfail, refused, or timeout (no answer at all)."""
        return _added(self.network, "dns", self.network.id, name, f"--fail={how}")


class _CableFaults:
    """Faults that a container's cable has, or all cables of a network.

    `direction` is as a container sees it: "in", "out" or "both". Without one it is both for a container, and for a
    whole network in: a packet between two of its containers is hit once.
    """

    def loss(self: Place, probability: float, direction: str = "") -> Fault:
        """Lose packets at random, with a probability from 0.00001 to 1."""
        return _added(self, "loss", f"--percent={probability * 100:.6g}", *_direction(direction), *_where(self))

    def delay(self: Place, ms: float, jitter: float = 0, direction: str = "") -> Fault:
        """Delay each packet by `ms` milliseconds, plus or minus `jitter`. CommandError where the kernel lacks netem."""
        words = [f"--time={ms:.6g}ms", f"--jitter={jitter:.6g}ms"]
        return _added(self, "delay", *words, *_direction(direction), *_where(self))

    def bandwidth(self: Place, bit_s: int, direction: str = "") -> Fault:
        """Limit how many bits pass in a second."""
        return _added(self, "bandwidth", f"--rate={bit_s}", *_direction(direction), *_where(self))

    def blackhole(self: Place, *ports: int | str) -> Fault:
        """Drop all packets to these ports (80, "53/udp"), and the answers; without a port, everything."""
        return _added(self, "blackhole", *(f"--port={port}" for port in ports), *_where(self))

    def reset(self: Place, connection: socket.socket | None = None, port: int = 0) -> int:
        """Reset TCP connections, once. Return how many; CommandError if there is none.

        connection: this one, of which the test has the other end
        port: those to or from this port; 0: all
        """
        words = [f"--peer-port={connection.getsockname()[1]}"] if connection is not None else []
        words += [f"--port={port}"] if port else []
        return len(self.host.client.text("fault", "reset", *words, *_where(self)).splitlines())


class ContainerFaults(_CableFaults):
    """The faults of a container."""

    def pause(self: Place) -> Fault:
        """Suspend all its processes, until the end of a `with` block or `unpause`."""
        self.host.client.text("pause", self.id)
        return Fault(self.host.client, ("unpause", self.id))

    def unpause(self: Place) -> None:
        """Let its processes go on."""
        self.host.client.text("unpause", self.id)


class NetworkFaults(_CableFaults):
    """The faults of a network: on the cables of all containers in it, also those that come later."""

    @property
    def dns(self: Place) -> Dns:
        """False answers to queries for names."""
        return Dns(self)

    def partition(self: Place, one: Place, other: Place) -> Fault:
        """Let no packet pass between two containers in this network; other networks are as they were."""
        return _added(self, "partition", f"--network={self.id}", one.id, other.id)


def _added(place: Place, verb: str, *words: str) -> Fault:
    owner = ["--owner-pid", str(place.host.owner)]
    made = place.host.client.text("fault", verb, *owner, *words).splitlines()[-1]
    return Fault(place.host.client, ("fault", "rm", made))


def _where(place: object) -> Sequence[str]:
    identity: str = place.id  # type: ignore[attr-defined]
    return [f"--network={identity}"] if isinstance(place, NetworkFaults) else [identity]


def _direction(direction: str) -> Sequence[str]:
    return [f"--direction={direction}"] if direction else []
