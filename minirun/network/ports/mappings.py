"""From requested port mappings to placed ones: which host ports, on which addresses, leading to which endpoint.

A request may leave the host port and the address open (`-p 80`); a placed mapping names both.
"""

from collections.abc import Iterable, Iterator, Mapping
from ipaddress import IPv4Address
from itertools import groupby
from typing import NamedTuple

from minirun.errors import FAILED, MinirunError
from minirun.instance import Instance
from minirun.kernel.sockets import can_serve_ipv6, port_hold, speaks
from minirun.model import (
    ANY_ADDRESS,
    ANY_ADDRESS6,
    AnyAddress,
    Container,
    Endpoint,
    Network,
    PortMapping,
    Publication,
    Spec,
)
from minirun.network.drivers.bridge import HOST_BINDING
from minirun.network.endpoints import gateway_endpoint, gateway_network
from minirun.network.firewall.policy import ROUTED, Policy
from minirun.network.networks import network_by_name

# A range of more ports than this is not reserved. A socket for each would be 16384 descriptors for the media ports of
# one telephone exchange and a third of a second at each of its starts. The price: a process that binds one of the ports
# later gets no packets, since they are translated. Once, before the start, the socket tables are asked for listeners.
MAX_RESERVED_RANGE = 64
_RANDOM_TRIES = 20


def is_reserved(mapping: PortMapping) -> bool:
    """Return whether sockets reserve the mapping; ranges of more than MAX_RESERVED_RANGE ports have none."""
    return mapping.count <= MAX_RESERVED_RANGE


def requested_mappings(spec: Spec) -> tuple[PortMapping, ...]:
    """Return what -p asks for; with -P also the exposed ports, consecutive ones as a range."""
    if not spec.publish_all:
        return spec.ports
    published = {port for mapping in spec.ports for port in mapping.private_ports}
    parts = (port.partition("/") for port in spec.expose if port not in published)
    exposed = sorted((protocol, int(port)) for port, _, protocol in parts)
    runs = groupby(enumerate(exposed), lambda item: (item[1][0], item[1][1] - item[0]))
    ranges = [[port for _, port in run] for _, run in runs]
    return (*spec.ports, *(PortMapping(run[0][1], 0, run[0][0], count=len(run)) for run in ranges))


class PreviousPorts:
    """The host ports that an earlier start was given, for requests that leave them open: each is tried first again.

    `recorded` maps each place in the container to a list of numbers (see `port_numbers`), since one container port may
    be published more than once.
    """

    def __init__(self, recorded: Mapping[str, str], requested: Iterable[PortMapping]) -> None:
        requested = list(requested)
        fixed = {mapping.host_port for mapping in requested if mapping.is_fixed}
        self._ranges = [mapping for mapping in requested if mapping.host_last]
        numbers = {key: [int(text) for text in texts.split(",")] for key, texts in recorded.items() if "/" in key}
        self._left = {key: [port for port in ports if port not in fixed] for key, ports in numbers.items()}

    def take(self, mapping: PortMapping) -> int:
        """Return a number not taken yet, 0 for none. A request with a host range gets one within that range; one
        without gets what no range can take."""
        left = [] if mapping.is_fixed else self._left.get(_key(mapping), [])
        if mapping.host_last:
            fitting = [number for number in left if _is_within(number, mapping)]
        else:
            ranges = [other for other in self._ranges if _key(other) == _key(mapping)]
            free = [number for number in left if not any(_is_within(number, other) for other in ranges)]
            fitting = free or ([] if ranges else left)
        if fitting:
            left.remove(fitting[0])
        return fitting[0] if fitting else 0


def port_numbers(placed: Iterable[PortMapping]) -> dict[str, str]:
    """Return the host ports of placed mappings in the form that the next start's `PreviousPorts` reads."""
    numbers: dict[str, str] = {}
    for mapping in placed:
        key = _key(mapping)
        numbers[key] = f"{numbers[key]},{mapping.host_port}" if key in numbers else str(mapping.host_port)
    return numbers


def candidates(mapping: PortMapping, host: str, previous: int) -> Iterator[int]:
    """Yield first ports on the host address `host` to try, the best first; `previous` is 0 for none."""
    if mapping.is_fixed:
        yield mapping.host_port
        return
    if previous:
        yield previous
    if mapping.host_last:
        yield from range(mapping.host_port, mapping.host_last + 1)
        return
    for _ in range(_RANDOM_TRIES):
        with port_hold(mapping.protocol, host, 0) as chosen:
            first = int(chosen.getsockname()[1])
        if first + mapping.count <= 65536:
            yield first


class DefaultAddresses(NamedTuple):
    """The host addresses for a mapping without one; `relayed` for those that a relay can carry."""

    translated: tuple[AnyAddress, ...]
    relayed: tuple[AnyAddress, ...] = ()

    def of(self, mapping: PortMapping) -> tuple[AnyAddress, ...]:
        """Return all host addresses that this mapping is published on."""
        if mapping.host_address is not None:
            return (mapping.host_address,)
        return self.translated + (self.relayed if can_relay(mapping) else ())


def default_addresses(instance: Instance, spec: Spec) -> DefaultAddresses:
    """Return the host addresses for mappings without one. MinirunError when the gateway network cannot publish.

    They are 0.0.0.0 and, where the host or the network has IPv6, ::; or the address that the gateway network's option
    host_binding_ipv4 names. A routed network has no ports on the host, so nothing is relayed to it.
    """
    networks = [network_by_name(instance, name) for name in spec.network.names]
    network = _require_publishing(gateway_network(spec.network, networks))
    if binding := network.option(HOST_BINDING):
        return DefaultAddresses((IPv4Address(binding),))
    if network.pool6:
        return DefaultAddresses((ANY_ADDRESS, ANY_ADDRESS6))
    if Policy.of(network).modes.get(4) == ROUTED or not can_serve_ipv6():
        return DefaultAddresses((ANY_ADDRESS,))
    return DefaultAddresses((ANY_ADDRESS,), (ANY_ADDRESS6,))


def publishing_endpoint(instance: Instance, container: Container, endpoints: Iterable[Endpoint]) -> Endpoint:
    """Return the endpoint that ports lead to, in the gateway network. MinirunError when that cannot publish."""
    own = [(endpoint, network) for endpoint in endpoints if (network := instance.store.network(endpoint.network))]
    gateway = gateway_endpoint(container, own)
    _require_publishing(next((network for endpoint, network in own if endpoint is gateway), None))
    assert gateway is not None, "checked in the line above"
    return gateway


def refuse_unknown_protocols(mappings: Iterable[PortMapping]) -> None:
    """Check that this kernel has the protocols of all mappings; all kernels have TCP and UDP. MinirunError."""
    for mapping in mappings:
        if mapping.protocol == "sctp" and not speaks("sctp"):
            raise MinirunError(
                f"cannot publish {mapping.container_port}/sctp: this kernel has no SCTP",
                "on most distributions `modprobe sctp` loads it",
                FAILED,
            )


def can_relay(mapping: PortMapping) -> bool:
    """Return whether the shim can relay a port: a socket must reserve it, and it carries TCP and UDP."""
    return is_reserved(mapping) and mapping.protocol in ("tcp", "udp")


def target_address(endpoint: Endpoint, mapping: PortMapping) -> AnyAddress | None:
    """Return the address that a placed mapping leads to; None when the endpoint has none that it can lead to.

    An IPv6 port leads to an IPv4 address, by a relay, where the endpoint has no other.
    """
    assert mapping.host_address is not None, "the mapping has been placed"
    if mapping.host_address.version == 4:
        return endpoint.address
    return endpoint.address6 or (endpoint.address if can_relay(mapping) else None)


def publication_of(container: Container, endpoint: Endpoint, mapping: PortMapping) -> Publication:
    """Return the record of a placed mapping that leads to `endpoint`, by the family of its host address."""
    target = target_address(endpoint, mapping)
    if target is None:
        version = 6 if ":" in mapping.host else 4
        what = f"container {container.name} has no IPv{version} address on its first network"
        if version == 6:
            what += f", and neither a range of more than {MAX_RESERVED_RANGE} ports nor SCTP can be relayed to IPv4"
        hint = "make a network with: minirun network create --ipv6"
        raise MinirunError(f"cannot publish on {mapping.host}: {what}", hint, FAILED)
    return Publication(container.id, container.id, mapping, target)


def _require_publishing(network: Network | None) -> Network:
    if network is None:
        raise MinirunError(
            "cannot publish ports: none of the container's networks leads outside",
            "leave out -p, or connect it to a network that is not --internal",
            FAILED,
        )
    if not network.bridge:
        raise MinirunError(
            f"cannot publish ports: on network {network.name} ({network.driver}) the container has an address of its"
            " own, which minirun does not translate",
            "leave out -p: the program's ports are open under that address",
            FAILED,
        )
    return network


def _is_within(number: int, mapping: PortMapping) -> bool:
    return mapping.host_port <= number <= mapping.host_last


def _key(mapping: PortMapping) -> str:
    return f"{mapping.host}:{mapping.container_port}/{mapping.protocol}"
