"""The sockets that reserve a container's published ports, for as long as it runs.

A command that changes ports or networks (engine/hot_update.py) connects, says PORTS, sends the sockets of new
reservations, and only then writes the record and the rules. When it leaves, for whatever reason, the shim keeps exactly
the reservations that are on record. If the command did not say SETTLED before, the shim also applies the record: a
command that is killed at any step leaves nothing to repair later.
"""

import os
import socket
import sys
from collections.abc import Iterable

from minirun.errors import MinirunError, describe
from minirun.instance import Instance
from minirun.kernel.sockets import above_select, port_held
from minirun.model import Publication
from minirun.network import operations
from minirun.shim.clients import Client


class ReservedSockets:
    """A container's port reservations, by their descriptors."""

    def __init__(self, fds: list[int]) -> None:
        self._fds: list[int] = []
        self._closed = False
        self._take(fds)

    @property
    def files(self) -> list[int]:
        """The descriptors."""
        return list(self._fds)

    def close(self) -> None:
        """Release all ports: the container is ending."""
        for fd in self._fds:
            os.close(fd)
        self._fds, self._closed = [], True

    def settle(self, instance: Instance, container: str, client: Client) -> None:
        """Complete the update of a client that has left. Once closed, there is nothing to do."""
        if self._closed:
            return
        self._take(client.files)
        client.files = []
        if not client.settled:
            try:
                self._apply_record(instance, container)
            except (OSError, MinirunError) as error:  # no reason to end the container; the shim's log has it
                print(f"cannot apply the recorded ports: {describe(error)}", file=sys.stderr)
        self._keep(instance.store.ports(container=container))

    def _take(self, fds: list[int]) -> None:
        self._fds += fds
        if len(self._fds) > operations.MAX_LOW_SOCKETS:
            self._fds = [above_select(fd) for fd in self._fds]

    def _keep(self, publications: Iterable[Publication]) -> None:
        mappings = [publication.mapping for publication in publications]
        places = {
            (mapping.protocol, str(mapping.host_address), port) for mapping in mappings for port in mapping.host_ports
        }
        kept = []
        for fd in self._fds:
            reserved = socket.socket(fileno=fd)
            if port_held(reserved) in places:
                kept.append(reserved.detach())
            else:
                reserved.close()
        self._fds = kept

    def _apply_record(self, instance: Instance, container: str) -> None:
        record = instance.store.container(container)
        if record is not None:
            operations.apply_update(
                instance, record, lambda sockets: self._take([os.dup(reserved.fileno()) for reserved in sockets])
            )
