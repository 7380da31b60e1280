"""Conntrack entries of published UDP ports.

A flow keeps the translation of its first packet for as long as packets come. A client that keeps sending from one
socket, to a port that is published later or by another container than before, would still reach its first destination:
the socket that reserves the port, or an address that is nobody's now, or another container's. So these entries are
deleted, each by its exact key, once the rules are in force. All other entries stay.

TCP needs none of this, and a start with TCP ports none of its time (8 ms to dump a table of 262144 buckets). A
connection ends with the container, and a new one gets a new entry: in Linux a SYN replaces an entry that has ended.
Only a SYN that is dropped silently would bind its repetitions to the first destination; between the moment a port is
reserved and the moment it is published it is refused instead (kernel/sockets.py, port_close), and one that was led to a
container that is gone gets an ICMP error after 3 seconds, when ARP fails.
"""

import socket
from collections.abc import Iterable, Iterator

from minirun.kernel.conntrack import Flow, delete_flow, flows
from minirun.kernel.link_queries import is_local
from minirun.model import Publication


def delete_stale_flows(publications: Iterable[Publication]) -> None:
    """Delete flows to these published ports that lead elsewhere. Call it once the rules are in force."""
    for ports, entries in _by_family(publications):
        for flow in entries:
            publication = ports.publication_of(flow)
            if publication and not _leads_to(flow, publication) and _is_for_host(flow, publication):
                delete_flow(flow)


def delete_withdrawn_flows(publications: Iterable[Publication]) -> None:
    """Delete flows that these ports, which have been withdrawn, led to their targets."""
    for ports, entries in _by_family(publications):
        for flow in entries:
            publication = ports.publication_of(flow)
            if publication and _leads_to(flow, publication):
                delete_flow(flow)


class _PortsOfFamily:
    """Publications of one address family, by what a flow is addressed to."""

    def __init__(self, publications: list[Publication]) -> None:
        self._by_place = {(port.mapping.host_address, port.mapping.host_port): port for port in publications}
        self._ranges = [port for port in publications if port.mapping.count > 1]
        self._everywhere = {port.mapping.host_address for port in publications if _is_everywhere(port)}

    def publication_of(self, flow: Flow) -> Publication | None:
        for address in (flow.destination, *self._everywhere):
            if publication := self._by_place.get((address, flow.port)):
                return publication
        return next((port for port in self._ranges if _covers(port, flow)), None)


def _by_family(publications: Iterable[Publication]) -> Iterator[tuple[_PortsOfFamily, list[Flow]]]:
    udp = [port for port in publications if port.mapping.protocol == "udp" and not port.is_relayed]
    if not udp:
        return
    for version, family in ((4, socket.AF_INET), (6, socket.AF_INET6)):
        if ports := [publication for publication in udp if publication.target.version == version]:
            single = ports[0].mapping.host_port if len(ports) == 1 and ports[0].mapping.count == 1 else 0
            yield _PortsOfFamily(ports), flows("udp", family, single)


def _leads_to(flow: Flow, publication: Publication) -> bool:
    step = flow.port - publication.mapping.host_port
    return (flow.answerer, flow.answerer_port) == (publication.target, publication.mapping.container_port + step)


def _is_for_host(flow: Flow, publication: Publication) -> bool:
    """Return whether the flow is addressed to this host: a container's own query to a remote server may go to the same
    port number."""
    return not _is_everywhere(publication) or is_local(flow.destination)


def _is_everywhere(publication: Publication) -> bool:
    return publication.mapping.host_address is not None and publication.mapping.host_address.is_unspecified


def _covers(publication: Publication, flow: Flow) -> bool:
    mapping = publication.mapping
    return flow.port in mapping.host_ports and (_is_everywhere(publication) or mapping.host_address == flow.destination)
