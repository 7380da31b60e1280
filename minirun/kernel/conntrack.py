"""Entries of the connection tracker: found by their destination, deleted by their exact key (conntrack(8)).

They are those of the network namespace that the caller is in.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

from pyroute2.conntrack import Conntrack, ConntrackEntry, NFCTAttrTuple

from minirun.kernel.netlink_sockets import PROTOCOLS, os_errors
from minirun.kernel.seam import shell

AnyAddress = IPv4Address | IPv6Address


@dataclass(frozen=True)
class Flow:
    """An entry: the first packet's addresses, and those that replies come from."""

    source: AnyAddress
    source_port: int
    destination: AnyAddress
    port: int
    answerer: AnyAddress
    answerer_port: int
    entry: ConntrackEntry  # its key: the original tuple, the zone and the entry's id


def flows(protocol: str, family: int, port: int = 0) -> list[Flow]:
    """The entries of an address family, or those whose first packet went to `port`.

    The kernel selects them (CTA_FILTER, Linux 5.8).
    """
    wanted = NFCTAttrTuple(family=family, proto=PROTOCOLS[protocol], dport=port or None)
    with _conntrack(family) as conntrack:
        return [_flow(entry) for entry in conntrack.dump_entries(tuple_orig=wanted)]


def delete_flow(flow: Flow) -> None:
    """Delete exactly this entry; one that is gone already is fine."""
    flow_del(str(flow.source), str(flow.destination), flow.source_port, flow.port, flow.entry)


@shell("conntrack -D -s {source} -d {destination} --sport {source_port} --dport {port}")
def flow_del(source: str, destination: str, source_port: int, port: int, entry: ConntrackEntry) -> None:
    """Delete exactly this entry; one that is gone already is fine."""
    try:
        with _conntrack(entry.tuple_orig.family) as conntrack:
            conntrack.entry("del", tuple_orig=entry.tuple_orig, zone=entry.zone, id=entry.id)
    except FileNotFoundError:
        pass


@contextmanager
def _conntrack(family: int) -> Iterator[Conntrack]:
    conntrack = Conntrack(nfgen_family=family)
    try:
        with os_errors():
            yield conntrack
    finally:
        conntrack.close()


def _flow(entry: ConntrackEntry) -> Flow:
    original, reply = entry.tuple_orig, entry.tuple_reply
    return Flow(
        ip_address(original.saddr),
        original.sport,
        ip_address(original.daddr),
        original.dport,
        ip_address(reply.saddr),
        reply.sport,
        entry,
    )
