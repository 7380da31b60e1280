"""Port reservations: taking host ports, recording them, and naming the owner of one that is taken.

A reservation is a bound socket. The container's shim keeps it for as long as the port is published, so that no other
process can listen there meanwhile.
"""

import errno
import os
import socket
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace

from minirun.errors import FAILED, ConflictError, MinirunError
from minirun.instance import Instance
from minirun.kernel.credentials import files_ensure
from minirun.kernel.sock_diag import SocketTable
from minirun.kernel.sockets import above_select, port_close, port_held, port_hold, port_owner
from minirun.model import AnyAddress, Container, Endpoint, PortMapping, Publication
from minirun.network.firewall import tables
from minirun.network.ports.mappings import (
    DefaultAddresses,
    PreviousPorts,
    candidates,
    is_reserved,
    publication_of,
    publishing_endpoint,
    refuse_unknown_protocols,
)
from minirun.network.ports.udp_conntrack import delete_withdrawn_flows
from minirun.store import Store

# With more sockets than this, their descriptors are moved above 1024, and the limit of open files is raised: as many
# fit beside everything else below the usual limit of 1024, in the command and in the shim.
MAX_LOW_SOCKETS = 200


class PortReservations:
    """The mappings that a start was given, each with a host address and port, and the sockets that reserve them."""

    def __init__(self) -> None:
        self.mappings: list[PortMapping] = []
        self.sockets: list[socket.socket] = []

    def close(self) -> None:
        """Close this process's sockets. What was sent to the shim stays reserved."""
        for reserved in self.sockets:
            reserved.close()

    def shut(self, store: Store) -> None:
        """Stop accepting: from now on packets are translated, and a connection that came before is refused."""
        for reserved in self.sockets:
            try:
                port_close(reserved)
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
                raise _taken(store, self._mapping_of(reserved)) from error

    def _mapping_of(self, reserved: socket.socket) -> PortMapping:
        protocol, address, port = port_held(reserved)
        return next(
            mapping
            for mapping in self.mappings
            if (mapping.protocol, str(mapping.host_address)) == (protocol, address) and port in mapping.host_ports
        )


def reserve(
    store: Store,
    mappings: Iterable[PortMapping],
    previous: PreviousPorts | None,
    default_addresses: DefaultAddresses,
) -> PortReservations:
    """Reserve every port on the host, before anything else is changed; all or none.

    A random port of an earlier start (`previous`) is reserved again if it is free. A mapping without an address is
    placed on all `default_addresses` under the same number. ConflictError names the owner of a port that is taken.
    """
    reservations, mappings = PortReservations(), list(mappings)
    refuse_unknown_protocols(mappings)
    _refuse_overlap([mapping for mapping in mappings if mapping.is_fixed])
    count = sum(len(default_addresses.of(mapping)) * mapping.count for mapping in mappings if is_reserved(mapping))
    if count > MAX_LOW_SOCKETS:
        raise_file_limit(os.getpid(), count)
    try:
        for mapping in mappings:
            number = previous.take(mapping) if previous else 0
            placed, sockets = _reserve_mapping(store, mapping, number, default_addresses.of(mapping))
            reservations.mappings += placed
            if count > MAX_LOW_SOCKETS:
                sockets = [socket.socket(fileno=above_select(reserved.detach())) for reserved in sockets]
            reservations.sockets += sockets
    except BaseException:
        reservations.close()
        raise
    return reservations


def _refuse_overlap(mappings: Sequence[PortMapping]) -> None:
    """Refuse two mappings of one container that want the same port: it would look as if somebody else had it."""
    if len(mappings) < 2:  # it may be a range of all ports
        return
    taken: dict[tuple[str, int], list[PortMapping]] = {}
    for mapping in mappings:
        for port in mapping.host_ports:
            others = taken.setdefault((mapping.protocol, port), [])
            if any(_share_address(mapping, other) for other in others):
                raise _conflict(replace(mapping, host_port=port, count=1), "another -p of this container")
            others.append(mapping)


def _share_address(one: PortMapping, other: PortMapping) -> bool:
    first, second = one.host_address, other.host_address
    if first is None or second is None or first == second:
        return True
    return first.version == second.version and (first.is_unspecified or second.is_unspecified)


def raise_file_limit(pid: int, sockets: int) -> tuple[str, int, int]:
    """Let process `pid` open so many sockets. Return its limit before as --ulimit has it: name, soft, hard."""
    soft, hard = files_ensure(pid, sockets + 2048)  # the moved descriptors start above 1024
    if hard < sockets + MAX_LOW_SOCKETS:
        raise MinirunError(
            f"cannot reserve {sockets} ports: this process may open at most {hard} files",
            "publish consecutive ports as one range, or raise the limit: ulimit -Hn",
            FAILED,
        )
    return "nofile", soft, hard


def record_mappings(
    instance: Instance, container: Container, mappings: Iterable[PortMapping], endpoints: Iterable[Endpoint]
) -> None:
    """Record placed mappings as ports that lead to the publishing one of `endpoints`. Within a transaction."""
    if mappings := list(mappings):
        endpoint = publishing_endpoint(instance, container, endpoints)
        for mapping in mappings:
            record(instance.store, publication_of(container, endpoint, mapping))


def record(store: Store, publication: Publication) -> None:
    """Record a port. ConflictError when it overlaps another one, which the database schema forbids."""
    try:
        store.add_port(publication)
    except sqlite3.IntegrityError as error:
        raise _taken(store, publication.mapping) from error


def withdraw(instance: Instance, publications: Collection[Publication], endpoints: Collection[Endpoint] = ()) -> None:
    """Remove ports, and endpoints, from the firewall and their UDP flows from conntrack.

    The caller holds the write lock and has deleted their records.
    """
    if publications or endpoints:
        tables.withdraw(instance.store, instance.table, publications, endpoints)
        delete_withdrawn_flows(publications)


def _reserve_mapping(
    store: Store, mapping: PortMapping, previous: int, addresses: Sequence[AnyAddress]
) -> tuple[list[PortMapping], list[socket.socket]]:
    """Reserve the first candidate that is free. Return a placed mapping for each address, and the sockets."""
    problem: ConflictError | None = None
    for port in candidates(mapping, str(addresses[0]), previous):
        placed = [replace(mapping, host_port=port, host_last=0, host_address=address) for address in addresses]
        try:
            if not mapping.is_fixed:  # a range without sockets exists in the record only; the schema guards fixed ones
                _refuse_recorded(store, placed)
            return placed, _bind_all(store, placed)
        except ConflictError as error:
            problem = error
    if mapping.is_fixed and problem is not None:
        raise problem
    where = f"{mapping.host}:{mapping.host_port}-{mapping.host_last}" if mapping.host_port else "any port"
    raise ConflictError(
        f"Bind for {where} failed: all ports are allocated ({mapping.protocol})",
        problem.message if problem else "",
        FAILED,
    )


def _refuse_recorded(store: Store, placed: Iterable[PortMapping]) -> None:
    for mapping in placed:
        if store.port_holder(mapping) is not None:
            raise _taken(store, mapping)


def _bind_all(store: Store, placed: Iterable[PortMapping]) -> list[socket.socket]:
    sockets: list[socket.socket] = []
    try:
        for mapping in placed:
            if is_reserved(mapping):
                sockets += _bind_ports(store, mapping)
            else:
                _refuse_listened(store, mapping)
    except BaseException:
        for reserved in sockets:
            reserved.close()
        raise
    return sockets


def _bind_ports(store: Store, mapping: PortMapping) -> Iterator[socket.socket]:
    assert mapping.host_address is not None, "the mapping has been placed"
    for port in mapping.host_ports:
        try:
            yield port_hold(mapping.protocol, str(mapping.host_address), port)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise _taken(store, replace(mapping, host_port=port, count=1)) from error
            if error.errno == errno.EADDRNOTAVAIL:
                raise MinirunError(
                    f"cannot publish on {mapping.host_address}: this host has no such address",
                    "`ip address` shows its addresses",
                    FAILED,
                ) from error
            raise


def _refuse_listened(store: Store, mapping: PortMapping) -> None:
    assert mapping.host_address is not None, "the mapping has been placed"
    with closing(SocketTable()) as table:
        for listener in table.listeners((mapping.protocol,)):
            if listener.port in mapping.host_ports and listener.stands_in_the_way(mapping.host_address):
                raise _taken(store, replace(mapping, host_port=listener.port, count=1))


def _taken(store: Store, mapping: PortMapping) -> ConflictError:
    publication = store.port_holder(mapping)
    if publication is not None:
        container = store.container(publication.container)
        owner = f"container {container.name if container else publication.container[:12]}"
    else:
        owner = port_owner(mapping.protocol, mapping.host_port) or "another process"
    return _conflict(mapping, owner)


def _conflict(mapping: PortMapping, owner: str) -> ConflictError:
    return ConflictError(
        f"Bind for {mapping.place} failed: port is already allocated: address already in use"
        f" ({mapping.protocol}, by {owner})",
        "choose another host port, or stop its owner",
        FAILED,
    )
