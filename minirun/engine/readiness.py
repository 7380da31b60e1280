"""Waiting until a container is ready: its health check passes, or its program listens on its ports.

The kernel is asked which sockets listen in the network namespace (sock_diag(7)): no program runs in the container, and
no connection is made to it.
"""

import json
import time
from collections.abc import Callable, Collection, Iterable
from contextlib import closing

from minirun.engine.liveness import is_alive, member_pids, wait_until_started
from minirun.engine.reconcile import reconcile
from minirun.errors import MinirunError
from minirun.instance import Instance
from minirun.kernel.netns import entered
from minirun.kernel.sock_diag import Listener, SocketTable
from minirun.kernel.sockets import sockets_of
from minirun.model import ACTIVE, Container, Status
from minirun.network.operations import is_reserved

Port = tuple[int, str]  # number, protocol
_MIN_DELAY, _MAX_DELAY, _GROWTH = 0.001, 0.020, 1.5  # seconds between two looks
_SAY_AFTER = 10.0  # seconds until the user is told what is waited for


class ReadinessCheck:
    """Waits for one container. `groups` are sets of ports; of each, one port must be listened on.

    MinirunError when the container is not running.
    """

    def __init__(self, instance: Instance, container: Container, groups: Iterable[Collection[Port]]) -> None:
        self._instance = instance
        self.container = wait_until_started(instance, instance.store.container(container.id) or container)
        self._groups = [frozenset(group) for group in groups]
        self._by_health = False
        self.seen: list[Listener] = []
        self._refuse_ended()
        try:
            self._table = _table_of(self.container)
        except OSError:  # its namespace was just removed
            self._follow()
            self._table = _table_of(self.container)

    def close(self) -> None:
        """Close the socket to the kernel."""
        self._table.close()

    @classmethod
    def for_all(cls, instance: Instance, container: Container) -> "ReadinessCheck":
        """Wait for the health check, if there is one, else for all published and exposed ports, if any."""
        waiting = cls(instance, container, _groups_of(instance, container))
        waiting._by_health = container.spec.health is not None
        return waiting

    def look(self) -> bool:
        """Whether it is ready now. MinirunError when it has ended, or is unhealthy."""
        if not is_alive(self.container.init):
            self._follow()
        if self._by_health:
            return self._is_healthy()
        wanted = {protocol for group in self._groups for _, protocol in group}
        self.seen = self._listeners(sorted(wanted))
        ports = _ports_of(self.seen)
        return all(group & ports for group in self._groups)

    def missing(self) -> str:
        """Describe what it does not do yet, and which ports it listens on."""
        if self._by_health:
            return f"container {self.container.name} is not healthy"
        ports = _ports_of(self.seen)
        names = ", ".join(_name(group) for group in self._groups if not group & ports)
        others = ", ".join(dict.fromkeys(map(str, self._listeners(("tcp", "udp")))))
        return f"container {self.container.name} does not listen on {names}; it listens on {others or 'nothing'}"

    def warnings(self) -> list[str]:
        """Describe published ports that nobody can reach, as the program listens on the container's loopback only."""
        texts: dict[str, None] = {}
        listeners = self._listeners(("tcp", "udp"))
        for publication in self._instance.store.ports(container=self.container.id):
            mapping = publication.mapping
            published = range(mapping.container_port, mapping.container_port + mapping.count)
            for port in {port for port, protocol in _ports_of(listeners) if protocol == mapping.protocol}:
                on_port = [each for each in listeners if (each.port, each.protocol) == (port, mapping.protocol)]
                if port in published and all(each.address.is_loopback for each in on_port):
                    texts[
                        f"WARNING: port {port}/{mapping.protocol} of {self.container.name} is published, but its"
                        f" program listens on {on_port[0].address} inside the container only, where nobody outside"
                        f" reaches it. Make it listen on 0.0.0.0 (or {publication.target})"
                    ] = None
        return list(texts)

    def _listeners(self, protocols: Collection[str]) -> list[Listener]:
        listeners = self._table.listeners(protocols)
        if self.container.sandbox or not listeners:
            return listeners
        own = sockets_of(member_pids(self._instance, self.container))  # the host's namespace has others' sockets too
        return [listener for listener in listeners if listener.inode in own]

    def _is_healthy(self) -> bool:
        current = self._instance.store.container(self.container.id)
        status = json.loads(current.health).get("Status") if current and current.health else ""
        if status == "unhealthy":
            raise MinirunError(f"container {self.container.name} is unhealthy", "minirun inspect shows why")
        return status == "healthy"

    def _follow(self) -> None:
        """Its process is gone: refuse a container that has ended, and wait on for one that is being restarted."""
        reconcile(self._instance)
        current = self._instance.store.container(self.container.id)
        if current is None:
            raise MinirunError(f"container {self.container.name} ended before it was ready, and was removed")
        self.container = current
        self._refuse_ended()

    def _refuse_ended(self) -> None:
        if self.container.status not in ACTIVE:
            state = "is not running" if self.container.status is Status.CREATED else "has ended"
            code = "" if self.container.status is Status.CREATED else f" (exit code {self.container.exit_code})"
            raise MinirunError(
                f"container {self.container.name} {state}{code}, and was not ready before",
                f"minirun logs {self.container.name} shows its output",
            )


def wait_until_ready(waiting: Collection[ReadinessCheck], seconds: float, say: Callable[[str], None]) -> None:
    """Wait for all of them, at most `seconds` (0: without limit), then report their warnings.

    `say` gets the warnings, and, when it takes long, what is waited for. MinirunError when a container cannot become
    ready any more, or in time.
    """
    began = time.monotonic()
    delay, told = _MIN_DELAY, False
    left = list(waiting)
    while left := [each for each in left if not each.look()]:
        passed = time.monotonic() - began
        if seconds and passed >= seconds:
            raise MinirunError("; ".join(each.missing() for each in left) + f" (after {seconds:g} s)")
        if passed > _SAY_AFTER and not told:
            told = True
            for each in left:
                say(f"still waiting: {each.missing()}")
        time.sleep(min(delay, max(0.0, seconds - passed)) if seconds else delay)
        delay = min(delay * _GROWTH, _MAX_DELAY)
    for each in waiting:
        for warning in each.warnings():
            say(warning)


def wait_for_container(instance: Instance, container: Container, seconds: float, say: Callable[[str], None]) -> None:
    """Wait until one container is ready: `Waiting.for_all`, then `until_ready`."""
    with closing(ReadinessCheck.for_all(instance, container)) as waiting:
        wait_until_ready([waiting], seconds, say)


def _groups_of(instance: Instance, container: Container) -> list[Collection[Port]]:
    """One group for each published or exposed port. Of a range, one port is enough.

    Ports of a wide range are not waited for: programs open these when they need them, for a call or a transfer.
    """
    publications = instance.store.ports(container=container.id)
    mappings = [*container.spec.ports, *(publication.mapping for publication in publications)]
    groups = [
        frozenset((mapping.container_port + step, mapping.protocol) for step in range(mapping.count))
        for mapping in mappings
        if is_reserved(mapping)
    ]
    published = {port for mapping in mappings for port in mapping.private_ports}
    exposed = [port.partition("/") for port in container.spec.expose if port not in published]
    groups += [frozenset([(int(number), protocol)]) for number, _, protocol in exposed]
    return list(dict.fromkeys(groups))


def _ports_of(listeners: Iterable[Listener]) -> set[Port]:
    return {(listener.port, listener.protocol) for listener in listeners}


def _table_of(container: Container) -> SocketTable:
    if not container.sandbox:
        return SocketTable()
    with entered(container.name):
        return SocketTable()


def _name(group: Collection[Port]) -> str:
    first, last = min(group), max(group)
    return f"{first[0]}/{first[1]}" if first == last else f"any of {first[0]}-{last[0]}/{first[1]}"
