"""What the words of `trace` mean: who sends, and to whom."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

from minirun.diagnostics.trace.outside_host import HERE, THERE, Stranger
from minirun.errors import FAILED, MinirunError
from minirun.instance import Instance
from minirun.kernel.link_queries import interfaces
from minirun.kernel.netns import entered
from minirun.kernel.taps import Tap
from minirun.model import Container, Publication, Status
from minirun.store.lookup import find_container

AnyAddress = IPv4Address | IPv6Address
HOST, OUTSIDE, ANYBODY = "host", "outside", "anybody"


@dataclass(frozen=True)
class Target:
    """To whom a packet is sent, and who is to get it in the end, as far as the records tell."""

    said: str  # as it was typed
    address: AnyAddress
    port: int
    protocol: str
    container: Container | None = None
    inside_port: int = 0  # where the container is to be listening
    is_port_of_host: bool = False
    publication: Publication | None = None


class Source:
    """Where packets come from: a container, this host, or somebody outside."""

    def __init__(self, instance: Instance, name: str) -> None:
        self.name = name
        self.stranger: Stranger | None = None
        self.container: Container | None = None
        if name == OUTSIDE:
            self.stranger = Stranger()
        elif name not in (HOST, ANYBODY):
            self.container = running(instance, name)
            self.name = self.container.name

    @property
    def shown(self) -> str:
        return f"outside ({THERE.ip})" if self.stranger else self.name

    def close(self) -> None:
        if self.stranger:
            self.stranger.close()

    def socket(self, protocol: str, family: int) -> socket.socket:
        if self.stranger:
            return self.stranger.opened(protocol)
        with inside(self.container):
            kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
            return socket.socket(family, kind | socket.SOCK_CLOEXEC)

    def tap(self) -> Tap | None:
        """None: what the host's own tap sees."""
        if self.stranger:
            return Tap.of(self.stranger.opened("packet"))
        return tap_in(self.container)


@contextmanager
def inside(container: Container | None) -> Iterator[None]:
    if container is None or not container.sandbox:
        yield
        return
    with entered(container.name):
        yield


def tap_in(container: Container | None) -> Tap | None:
    if container is None or not container.sandbox:
        return None
    with entered(container.name):
        return Tap()


def running(instance: Instance, name: str) -> Container:
    found = find_container(instance.store, name, FAILED)
    if found.status is not Status.RUNNING:
        raise MinirunError(
            f"container {found.name} is not running ({found.status})", f"minirun start {found.name}", FAILED
        )
    return found


def port_of_host(instance: Instance, word: str) -> Target:
    """8080, 8080/udp or ADDRESS:8080."""
    text, _, protocol = word.partition("/")
    host, colon, number = text.rpartition(":")
    port = _port(number, word)
    protocol = _protocol(protocol, word)
    there = [
        one for one in instance.store.ports() if one.mapping.protocol == protocol and port in one.mapping.host_ports
    ]
    found = next((one for one in there if not colon or str(one.mapping.host_address) in (host, "0.0.0.0", "::")), None)
    address = ip_address(host.strip("[]")) if colon else _own_address(instance, found)
    if found is None:
        return Target(word, address, port, protocol, is_port_of_host=True)
    mapping = found.mapping
    inside_port = mapping.container_port + port - mapping.host_port
    container = instance.store.container(found.container)
    return Target(word, address, port, protocol, container, inside_port, True, found)


def _own_address(instance: Instance, found: Publication | None) -> AnyAddress:
    """The host's, as others know it: of its first interface that leads out."""
    if found is not None and found.mapping.host_address and not found.mapping.host_address.is_unspecified:
        return found.mapping.host_address
    subnets = [network.pool.subnet for network in instance.store.networks() if network.pool]
    for link in interfaces():
        if link.name != "lo" and link.kind != "bridge" and not link.master and link.up and link.name != "mr-trace0":
            for one in link.addresses:
                if one.address.version == 4 and not any(one.address in subnet for subnet in subnets):
                    return one.address
    return HERE.ip


def target_of(instance: Instance, source: Source, word: str) -> Target:
    """CONTAINER:PORT or ADDRESS:PORT, either with /udp."""
    text, _, protocol = word.partition("/")
    name, colon, number = text.rpartition(":")
    if not colon or not name:
        raise MinirunError(f"invalid target {word!r}", "CONTAINER:PORT or ADDRESS:PORT, such as db:5432", FAILED)
    port, protocol = _port(number, word), _protocol(protocol, word)
    try:
        address = ip_address(name.strip("[]"))
    except ValueError:
        container = running(instance, name)
        return Target(word, _address_for(instance, source, container), port, protocol, container, port)
    ends = [one for one in instance.store.endpoints() if address in (one.address, one.address6)]
    owner = instance.store.container(ends[0].sandbox) if ends else None
    return Target(word, address, port, protocol, owner, port)


def _address_for(instance: Instance, source: Source, container: Container) -> AnyAddress:
    """As its name would be answered in a network that both are in; otherwise its first."""
    ends = instance.store.endpoints(sandbox=container.sandbox)
    mine = source.container and {one.network for one in instance.store.endpoints(sandbox=source.container.sandbox)}
    ends.sort(key=lambda one: (one.network not in (mine or ()), one.position))
    address = next((one.address for one in ends if one.address), None)
    if address is None:
        raise MinirunError(
            f"container {container.name} has no address of its own",
            f"it is in network mode {container.spec.network}",
            FAILED,
        )
    return address


def _port(text: str, word: str) -> int:
    if text.isascii() and text.isdecimal() and 0 < int(text) < 65536:
        return int(text)
    raise MinirunError(f"invalid port in {word!r}", "a number from 1 to 65535", FAILED)


def _protocol(text: str, word: str) -> str:
    if text in ("", "tcp", "udp"):
        return text or "tcp"
    raise MinirunError(f"invalid protocol in {word!r}", "tcp or udp", FAILED)
