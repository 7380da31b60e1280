"""Parse source and target of `trace`: who sends, and to whom."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TypeAlias

from minirun.diagnostics.trace.outside_host import HOST_SIDE, OUTER_SIDE, VETH, OutsideHost
from minirun.errors import FAILED, MinirunError
from minirun.instance import Instance
from minirun.kernel.link_queries import interfaces
from minirun.kernel.netns import entered
from minirun.kernel.taps import Tap
from minirun.model import ANY_ADDRESS, ANY_ADDRESS6, Container, Publication, Status
from minirun.store.lookup import find_container

AnyAddress: TypeAlias = IPv4Address | IPv6Address
HOST, OUTSIDE, ANYBODY = "host", "outside", "anybody"


@dataclass(frozen=True)
class Target:
    """The destination of a packet, and the container that should receive it according to the records."""

    text: str  # as it was typed
    address: AnyAddress
    port: int
    protocol: str  # tcp or udp
    container: Container | None = None
    container_port: int = 0  # the port that the container's program should listen on
    is_host_port: bool = False
    publication: Publication | None = None


class Source:
    """The sender of packets: a container, this host, or a host outside. `close` it after use."""

    def __init__(self, instance: Instance, name: str) -> None:
        """`name` is a container, HOST, OUTSIDE or ANYBODY. Raises MinirunError if there is no such container."""
        self.name = name
        self.outside_host: OutsideHost | None = None
        self.container: Container | None = None
        if name == OUTSIDE:
            self.outside_host = OutsideHost()
        elif name not in (HOST, ANYBODY):
            self.container = running_container(instance, name)
            self.name = self.container.name

    @property
    def label(self) -> str:
        """The sender's name, as the report shows it."""
        return f"outside ({OUTER_SIDE.ip})" if self.outside_host else self.name

    def close(self) -> None:
        """Remove the outside host, if there is one."""
        if self.outside_host:
            self.outside_host.close()

    def socket(self, protocol: str, family: int) -> socket.socket:
        """Open a socket in the sender's network namespace. `protocol` is tcp or udp, `family` an AF_ constant."""
        if self.outside_host:
            return self.outside_host.open_socket(protocol)
        with in_netns_of(self.container):
            kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
            return socket.socket(family, kind | socket.SOCK_CLOEXEC)

    def tap(self) -> Tap | None:
        """Open a tap on the sender's interfaces; None if the host's own tap sees them."""
        if self.outside_host:
            return Tap.of(self.outside_host.open_socket("packet"))
        return open_tap(self.container)


@contextmanager
def in_netns_of(container: Container | None) -> Iterator[None]:
    """Enter a container's network namespace; stay in the host's if it has none, or for None."""
    if container is None or not container.sandbox:
        yield
        return
    with entered(container.name):
        yield


def open_tap(container: Container | None) -> Tap | None:
    """Open a tap on a container's interfaces; None if they are the host's."""
    if container is None or not container.sandbox:
        return None
    with entered(container.name):
        return Tap()


def running_container(instance: Instance, name: str) -> Container:
    """Find a container by name or id. Raises MinirunError if there is none or if it is not running."""
    container = find_container(instance.store, name, FAILED)
    if container.status is not Status.RUNNING:
        message = f"container {container.name} is not running ({container.status})"
        raise MinirunError(message, f"minirun start {container.name}", FAILED)
    return container


def port_of_host(instance: Instance, word: str) -> Target:
    """Parse a port of this host: 8080, 8080/udp or ADDRESS:8080. Raises MinirunError if it is not valid."""
    text, _, protocol = word.partition("/")
    host, colon, number = text.rpartition(":")
    port = _port(number, word)
    protocol = _protocol(protocol, word)
    publications = [
        publication
        for publication in instance.store.ports()
        if publication.mapping.protocol == protocol and port in publication.mapping.host_ports
    ]
    if colon:
        place = _address(host, word)
        addresses = (place, ANY_ADDRESS if place.version == 4 else ANY_ADDRESS6)
        publications = [each for each in publications if each.mapping.host_address in addresses]
    publication = next(iter(publications), None)
    address = place if colon else _host_address(instance, publication)
    if publication is None:
        return Target(word, address, port, protocol, is_host_port=True)
    if publication.is_relayed:
        raise MinirunError(
            f"{word} is published on IPv6 and relayed to {publication.target} by a process, so no rule translates it",
            f"trace the container's port itself, or its IPv4 port: minirun trace {port}",
            FAILED,
        )
    mapping = publication.mapping
    container_port = mapping.container_port + port - mapping.host_port
    container = instance.store.container(publication.container)
    return Target(word, address, port, protocol, container, container_port, True, publication)


def _host_address(instance: Instance, publication: Publication | None) -> AnyAddress:
    """Return the address that a port is published on; by default the first IPv4 address of an uplink."""
    published = publication and publication.mapping.host_address
    if published and not published.is_unspecified:
        return published
    subnets = [network.pool.subnet for network in instance.store.networks() if network.pool]
    for link in interfaces():
        if link.name in ("lo", VETH) or link.kind == "bridge" or link.master or not link.up:
            continue
        for address in (each.address for each in link.addresses):
            if address.version == 4 and not any(address in subnet for subnet in subnets):
                return address
    return HOST_SIDE.ip


def target_of(instance: Instance, source: Source, word: str) -> Target:
    """Parse CONTAINER:PORT or ADDRESS:PORT, either with /udp. Raises MinirunError if it is not valid."""
    text, _, protocol = word.partition("/")
    name, colon, number = text.rpartition(":")
    if not colon or not name:
        raise MinirunError(f"invalid target {word!r}", "CONTAINER:PORT or ADDRESS:PORT, such as db:5432", FAILED)
    port, protocol = _port(number, word), _protocol(protocol, word)
    try:
        address = ip_address(name.strip("[]"))
    except ValueError:
        container = running_container(instance, name)
        return Target(word, _container_address(instance, source, container), port, protocol, container, port)
    endpoints = [each for each in instance.store.endpoints() if address in (each.address, each.address6)]
    owner = instance.store.container(endpoints[0].sandbox) if endpoints else None
    return Target(word, address, port, protocol, owner, port)


def _container_address(instance: Instance, source: Source, container: Container) -> AnyAddress:
    """Return the container's address in a network that it shares with the source, or else its first address."""
    endpoints = instance.store.endpoints(sandbox=container.sandbox)
    sender = source.container
    shared = {each.network for each in instance.store.endpoints(sandbox=sender.sandbox)} if sender else set()
    endpoints.sort(key=lambda endpoint: (endpoint.network not in shared, endpoint.position))
    address = next((endpoint.address for endpoint in endpoints if endpoint.address), None)
    if address is None:
        message = f"container {container.name} has no address of its own"
        raise MinirunError(message, f"its network mode is {container.spec.network}", FAILED)
    return address


def _port(text: str, word: str) -> int:
    if text.isascii() and text.isdecimal() and 0 < int(text) < 65536:
        return int(text)
    raise MinirunError(
        f"invalid port in {word!r}",
        "a number from 1 to 65535; from a container: minirun trace SOURCE TARGET:PORT",
        FAILED,
    )


def _address(text: str, word: str) -> AnyAddress:
    try:
        return ip_address(text.strip("[]"))
    except ValueError:
        raise MinirunError(
            f"invalid address in {word!r}: this host's ports are PORT or ADDRESS:PORT",
            "a container's port: minirun trace SOURCE TARGET:PORT, minirun capture --port PORT CONTAINER",
            FAILED,
        ) from None


def _protocol(text: str, word: str) -> str:
    if text in ("", "tcp", "udp"):
        return text or "tcp"
    raise MinirunError(f"invalid protocol in {word!r}", "tcp or udp", FAILED)
