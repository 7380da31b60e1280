"""Published ports: holding them on the host, and saying who has one that is wanted."""

import errno
import socket
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import replace

from minirun.errors import FAILED, ConflictError, MinirunError
from minirun.kernel.sockets import port_hold, port_owner
from minirun.model import PortMapping, Publication, Spec
from minirun.store import Store


def hold(
    store: Store, mappings: Iterable[PortMapping], wishes: Mapping[str, str]
) -> tuple[tuple[PortMapping, ...], list[socket.socket]]:
    """Take every port on the host, before anything else is changed; all or none.

    `wishes` are the random ports of an earlier start: each is taken again if it is free.

    Returns the mappings with random ports filled in, and the sockets that hold them: they live as long as the
    container's monitor keeps them, so no other process can take a published port meanwhile.
    """
    filled: list[PortMapping] = []
    sockets: list[socket.socket] = []
    try:
        for mapping in mappings:
            sockets.append(_hold_wish(mapping, wishes.get(wish_key(mapping))) or _hold(store, mapping))
            filled.append(replace(mapping, host_port=sockets[-1].getsockname()[1]))
    except BaseException:
        for holder in sockets:
            holder.close()
        raise
    return tuple(filled), sockets


def record(store: Store, publication: Publication) -> None:
    """Write a port down; the schema refuses what overlaps."""
    try:
        store.add_port(publication)
    except sqlite3.IntegrityError as error:
        raise _taken(store, publication.mapping) from error


def wanted(spec: Spec) -> tuple[PortMapping, ...]:
    """What is published, with -P also what is only exposed."""
    if not spec.publish_all:
        return spec.ports
    published = {f"{mapping.container_port}/{mapping.protocol}" for mapping in spec.ports}
    exposed = (one.partition("/") for one in spec.expose if one not in published)
    return (*spec.ports, *(PortMapping(int(port), 0, protocol) for port, _, protocol in exposed))


def wish_key(mapping: PortMapping) -> str:
    return f"{mapping.host_address}:{mapping.container_port}/{mapping.protocol}"


def _hold_wish(mapping: PortMapping, wish: str | None) -> socket.socket | None:
    if mapping.host_port or wish is None:
        return None
    try:
        return port_hold(mapping.protocol, str(mapping.host_address), int(wish))
    except OSError:
        return None


def _hold(store: Store, mapping: PortMapping) -> socket.socket:
    try:
        return port_hold(mapping.protocol, str(mapping.host_address), mapping.host_port)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise _taken(store, mapping) from error
        if error.errno == errno.EADDRNOTAVAIL:
            raise MinirunError(
                f"cannot publish on {mapping.host_address}: this host has no such address",
                "`ip address` shows those it has",
                FAILED,
            ) from error
        raise


def _taken(store: Store, mapping: PortMapping) -> ConflictError:
    holder = store.port_holder(mapping)
    if holder is not None:
        container = store.container(holder.container)
        owner = f"container {container.name}" if container else f"container {holder.container[:12]}"
    else:
        owner = port_owner(mapping.protocol, mapping.host_port) or "another process"
    return ConflictError(
        f"Bind for {mapping.host_address}:{mapping.host_port} failed: port is already allocated"
        f" ({mapping.protocol}, by {owner})",
        "choose another host port, or stop its owner",
        FAILED,
    )
