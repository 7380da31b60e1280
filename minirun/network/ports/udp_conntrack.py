"""What the connection tracker remembers of published UDP ports.

A flow keeps the translation of its first packet for as long as packets come. A client that talks from one socket for
ever, to a port that is published later, or by another container than before, would go on to where it was led first: to
the socket that holds the port, or to an address that is nobody's now, or somebody else's. So these entries go, each by
its exact key, once the rules are in force; whatever else the tracker knows stays.

TCP needs none of this, and a start with -p none of its time (8 ms for a walk through the tracker's table of 262144
rows). A connection ends with the container, and whoever tries again begins a new one, for which the tracker makes a new
entry: in Linux a SYN takes the place of an entry that has ended. Only a SYN that is dropped in silence would bind its
repetitions to where it went; between the moment a port is held and the moment it is in force it is refused instead (see
kernel/sockets.py, port_close), and one that was led to a container that is gone is told so by ARP after 3 seconds.
"""

import socket
from collections.abc import Iterable, Iterator

from minirun.kernel.conntrack import Flow, delete_flow, flows
from minirun.kernel.link_queries import is_local
from minirun.model import Publication


def forget_misled(publications: Iterable[Publication]) -> None:
    """In force from now on: flows to these ports that lead elsewhere."""
    for place, entries in _by_family(publications):
        for flow in entries:
            found = place.publication_at(flow)
            if found and not _leads_to(flow, found) and _is_meant(flow, found):
                delete_flow(flow)


def forget_led(publications: Iterable[Publication]) -> None:
    """Withdrawn: flows that were led to these targets."""
    for place, entries in _by_family(publications):
        for flow in entries:
            found = place.publication_at(flow)
            if found and _leads_to(flow, found):
                delete_flow(flow)


class _Places:
    """Which of some publications, all of one family, a flow is for."""

    def __init__(self, publications: list[Publication]) -> None:
        self._single = {(one.mapping.host_address, one.mapping.host_port): one for one in publications}
        self._ranges = [one for one in publications if one.mapping.count > 1]
        self._everywhere = {one.mapping.host_address for one in publications if _is_everywhere(one)}

    def publication_at(self, flow: Flow) -> Publication | None:
        for address in (flow.destination, *self._everywhere):
            if found := self._single.get((address, flow.port)):
                return found
        return next((one for one in self._ranges if _covers(one, flow)), None)


def _by_family(publications: Iterable[Publication]) -> Iterator[tuple[_Places, list[Flow]]]:
    udp = [one for one in publications if one.mapping.protocol == "udp"]
    if not udp:
        return
    for version, family in ((4, socket.AF_INET), (6, socket.AF_INET6)):
        if mine := [one for one in udp if one.target.version == version]:
            single = mine[0].mapping.host_port if len(mine) == 1 and mine[0].mapping.count == 1 else 0
            yield _Places(mine), flows("udp", family, single)


def _leads_to(flow: Flow, publication: Publication) -> bool:
    step = flow.port - publication.mapping.host_port
    return (flow.answerer, flow.answerer_port) == (publication.target, publication.mapping.container_port + step)


def _is_meant(flow: Flow, publication: Publication) -> bool:
    """What is published on all addresses is on those of this host: a container's own question to a server elsewhere may
    go to the same number."""
    return not _is_everywhere(publication) or is_local(flow.destination)


def _is_everywhere(publication: Publication) -> bool:
    return publication.mapping.host_address is not None and publication.mapping.host_address.is_unspecified


def _covers(publication: Publication, flow: Flow) -> bool:
    mapping = publication.mapping
    return flow.port in mapping.host_ports and (_is_everywhere(publication) or mapping.host_address == flow.destination)
