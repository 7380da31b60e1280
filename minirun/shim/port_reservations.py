"""The sockets that hold a container's published ports, and who changes them while it runs (minirun port add, rm).

Such a command connects, says PORTS, sends what holds new ports, and only then writes the record and the rules. When it
leaves, however that comes about, what is held here is made what is on record. If it did not say SETTLED before, the
rules are, too: killed at any step, it leaves nothing that has to be found out later.
"""

import os
import socket
import sys
from collections.abc import Iterable

from minirun.engine.protocol import MANY
from minirun.errors import MinirunError, describe
from minirun.instance import Instance
from minirun.kernel.sockets import above_select
from minirun.model import Publication
from minirun.shim.clients import Client


class Holder:
    def __init__(self, fds: list[int]) -> None:
        self._fds: list[int] = []
        self._closed = False
        self._take(fds)

    @property
    def files(self) -> list[int]:
        return list(self._fds)

    def close(self) -> None:
        for fd in self._fds:
            os.close(fd)
        self._fds, self._closed = [], True

    def settle(self, instance: Instance, container: str, client: Client) -> None:
        """One that has changed them is gone. Once closed there is nothing to do: the container is ending."""
        if self._closed:
            return
        self._take(client.files)
        client.files = []
        if not client.settled:
            try:
                self._enforce(instance, container)
            except (OSError, MinirunError) as error:  # no reason to end the container; the log has it
                print(f"the ports on record could not be brought in force: {describe(error)}", file=sys.stderr)
        self._keep(instance.store.ports(container=container))

    def _take(self, fds: list[int]) -> None:
        self._fds += fds
        if len(self._fds) > MANY:
            self._fds = [above_select(fd) for fd in self._fds]

    def _keep(self, publications: Iterable[Publication]) -> None:
        mappings = [one.mapping for one in publications]
        places = {(one.protocol, str(one.host_address), port) for one in mappings for port in one.host_ports}
        kept = []
        for fd in self._fds:
            holder = socket.socket(fileno=fd)
            protocol = "tcp" if holder.type == socket.SOCK_STREAM else "udp"
            if (protocol, *holder.getsockname()[:2]) in places:
                kept.append(holder.detach())
            else:
                holder.close()
        self._fds = kept

    def _enforce(self, instance: Instance, container: str) -> None:
        from minirun.engine.network_update import finish_change  # only when a command was killed

        record = instance.store.container(container)
        if record is not None:
            finish_change(instance, record, lambda sockets: self._take([os.dup(one.fileno()) for one in sockets]))
