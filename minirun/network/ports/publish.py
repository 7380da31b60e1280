"""Published ports: which ones a start gets, holding them on the host, and saying who has one that is wanted."""

import errno
import os
import socket
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace

from minirun.engine.protocol import MANY
from minirun.errors import FAILED, ConflictError, MinirunError
from minirun.instance import Instance
from minirun.kernel.sockets import above_select, port_close, port_hold, port_owner
from minirun.model import AnyAddress, Endpoint, PortMapping, Publication
from minirun.network.ports import host_ports
from minirun.store import Store

# A range of more ports than this is not held. A socket for each would be 16384 descriptors for the media ports of one
# telephone exchange and a third of a second at each of its starts, against a process that happens to bind one of them
# later: its packets would be translated, and it would wait for them in vain. That nobody has one is looked up once.
HELD_MOST = 64


class Held:
    """The sockets of the ports that a start was given: closed by whoever gives up, or handed to the monitor."""

    def __init__(self) -> None:
        self.mappings: list[PortMapping] = []  # each with one address and its port
        self.sockets: list[socket.socket] = []

    def close(self) -> None:
        for holder in self.sockets:
            holder.close()

    def shut(self, store: Store) -> None:
        """Packets are translated from now on: nobody else is to listen here."""
        for holder in self.sockets:
            try:
                port_close(holder)
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
                raise _taken(store, self._mapping_of(holder)) from error

    def _mapping_of(self, holder: socket.socket) -> PortMapping:
        address, port = holder.getsockname()[:2]
        return next(
            one
            for one in self.mappings
            if str(one.host_address) == address and one.protocol == "tcp" and port in one.host_ports
        )


def hold(
    store: Store, mappings: Iterable[PortMapping], wishes: host_ports.Wishes | None, everywhere: Sequence[AnyAddress]
) -> Held:
    """Take every port on the host, before anything else is changed; all or none.

    `wishes` are the random ports of an earlier start: each is taken again if it is free. `everywhere` is what a mapping
    without an address means: one of each family, under the same number.

    The sockets live as long as the container's monitor keeps them, so no other process can take a published port
    meanwhile.
    """
    held, mappings = Held(), list(mappings)
    count = len(everywhere) * sum(one.count for one in mappings if one.count <= HELD_MOST)
    if count > MANY:
        make_room(os.getpid(), count)
    try:
        for mapping in mappings:
            placed, sockets = _hold_one(store, mapping, wishes.take(mapping) if wishes else 0, everywhere)
            held.mappings += placed
            held.sockets += [_moved(one) for one in sockets] if count > MANY else sockets
    except BaseException:
        held.close()
        raise
    return held


def _moved(holder: socket.socket) -> socket.socket:
    return socket.socket(fileno=above_select(holder.detach()))


def make_room(pid: int, sockets: int) -> tuple[str, int, int]:
    """Let a process hold so many ports: its limit of open files as it was before, as --ulimit has it."""
    from minirun.kernel.rlimits import files_ensure

    soft, hard = files_ensure(pid, sockets + 2048)  # their numbers begin above 1024
    if hard < sockets + MANY:
        raise MinirunError(
            f"cannot hold {sockets} ports: this process may have {hard} files open",
            "publish neighbours as one range, or raise the limit: ulimit -Hn",
            FAILED,
        )
    return "nofile", soft, hard


def record(store: Store, publication: Publication) -> None:
    """Write a port down; the schema refuses what overlaps."""
    try:
        store.add_port(publication)
    except sqlite3.IntegrityError as error:
        raise _taken(store, publication.mapping) from error


def _hold_one(
    store: Store, mapping: PortMapping, wish: int, everywhere: Sequence[AnyAddress]
) -> tuple[list[PortMapping], list[socket.socket]]:
    """The first of its choices that is free: (a mapping for each address, the sockets)."""
    addresses = [mapping.host_address] if mapping.host_address else everywhere
    problem: ConflictError | None = None
    for port in host_ports.choices(mapping, str(addresses[0]), wish):
        placed = [replace(mapping, host_port=port, host_last=0, host_address=address) for address in addresses]
        try:
            if not mapping.is_fixed:  # a range without sockets is in the record alone; of fixed ones the schema says so
                _refuse_recorded(store, placed)
            return placed, _hold_all(store, placed)
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


def _hold_all(store: Store, placed: Iterable[PortMapping]) -> list[socket.socket]:
    sockets: list[socket.socket] = []
    try:
        for mapping in placed:
            if mapping.count > HELD_MOST:
                _refuse_listened(store, mapping)
            else:
                sockets += _hold_each(store, mapping)
    except BaseException:
        for holder in sockets:
            holder.close()
        raise
    return sockets


def _hold_each(store: Store, mapping: PortMapping) -> Iterator[socket.socket]:
    assert mapping.host_address is not None, "it has been placed"
    for port in mapping.host_ports:
        try:
            yield _bind(mapping.protocol, mapping.host_address, port)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            raise _taken(store, replace(mapping, host_port=port, count=1)) from error


def _bind(protocol: str, address: AnyAddress, port: int) -> socket.socket:
    try:
        return port_hold(protocol, str(address), port)
    except OSError as error:
        if error.errno == errno.EADDRNOTAVAIL:
            raise MinirunError(
                f"cannot publish on {address}: this host has no such address",
                "`ip address` shows those it has",
                FAILED,
            ) from error
        raise


def _refuse_listened(store: Store, mapping: PortMapping) -> None:
    from minirun.kernel.sock_diag import SocketTable

    assert mapping.host_address is not None, "it has been placed"
    table = SocketTable()
    try:
        for one in table.listeners((mapping.protocol,)):
            if one.port in mapping.host_ports and one.stands_in_the_way(mapping.host_address):
                raise _taken(store, replace(mapping, host_port=one.port, count=1))
    finally:
        table.close()


def _taken(store: Store, mapping: PortMapping) -> ConflictError:
    holder = store.port_holder(mapping)
    if holder is not None:
        container = store.container(holder.container)
        owner = f"container {container.name}" if container else f"container {holder.container[:12]}"
    else:
        owner = port_owner(mapping.protocol, mapping.host_port) or "another process"
    return ConflictError(
        f"Bind for {mapping.place} failed: port is already allocated ({mapping.protocol}, by {owner})",
        "choose another host port, or stop its owner",
        FAILED,
    )


def enforce(instance: Instance, container_id: str) -> None:
    """Have the ports on record for a container in force, of one whose networks are."""
    from minirun.network.firewall import tables

    tables.ensure(instance.store, instance.table, [], container_id)
    settle_flows(instance.store.ports(container=container_id))


def withdraw(instance: Instance, publications: Collection[Publication], endpoints: Collection[Endpoint] = ()) -> None:
    """Take ports, and endpoints that go with them, out of force. The caller holds the write lock and has deleted their
    records."""
    if not publications and not endpoints:
        return
    from minirun.network.firewall import tables

    tables.withdraw(instance.store, instance.table, publications, endpoints)
    if any(one.mapping.protocol == "udp" for one in publications):
        from minirun.network.ports.udp_conntrack import forget_led

        forget_led(publications)


def settle_flows(publications: Collection[Publication]) -> None:
    """Once ports are in force: clients that are in the middle of talking follow."""
    if any(one.mapping.protocol == "udp" for one in publications):
        from minirun.network.ports.udp_conntrack import forget_misled

        forget_misled(publications)
