"""When a container is ready: its program listens, or its health check says so. No program and no connection in the
container is needed; the kernel is asked who listens in its network namespace."""

import json
import time
from collections.abc import Callable, Collection, Iterable
from contextlib import closing

from minirun.engine.liveness import is_alive, member_pids, past_its_start
from minirun.engine.reconcile import reconcile
from minirun.errors import MinirunError
from minirun.instance import Instance
from minirun.kernel.netns import entered
from minirun.kernel.sock_diag import Listener, SocketTable
from minirun.kernel.sockets import sockets_of
from minirun.model import ACTIVE, Container, Status
from minirun.network.operations import is_reserved

Port = tuple[int, str]  # number, protocol
_SHORTEST, _LONGEST, _GROWTH = 0.001, 0.020, 1.5  # seconds between two looks
_PATIENCE = 10.0  # seconds until it is said what is waited for


class Waiting:
    """For one container. `look` is true once it is ready, and raises MinirunError when that cannot be any more."""

    def __init__(self, instance: Instance, container: Container, groups: Iterable[Collection[Port]]) -> None:
        self._instance = instance
        self.container = past_its_start(instance, instance.store.container(container.id) or container)
        self._groups = [frozenset(group) for group in groups]  # of each, one port has to be listened on
        self._by_health = False
        self.seen: list[Listener] = []
        self._refuse_ended()
        try:
            self._table = _table_of(self.container)
        except OSError:  # its namespace has just gone
            self._follow()
            self._table = _table_of(self.container)

    def close(self) -> None:
        self._table.close()

    @classmethod
    def for_all(cls, instance: Instance, container: Container) -> "Waiting":
        """Healthy, if that is checked; else every port that is published or exposed; else that it runs."""
        waiting = cls(instance, container, _groups_of(instance, container))
        waiting._by_health = container.spec.health is not None
        return waiting

    def look(self) -> bool:
        if not is_alive(self.container.init):
            self._follow()
        if self._by_health:
            return self._is_healthy()
        wanted = {protocol for group in self._groups for _, protocol in group}
        self.seen = self._listeners(sorted(wanted))
        there = {(one.port, one.protocol) for one in self.seen}
        return all(group & there for group in self._groups)

    def missing(self) -> str:
        """What it has not done yet, and what it does instead."""
        if self._by_health:
            return f"container {self.container.name} is not healthy"
        there = {(one.port, one.protocol) for one in self.seen}
        names = ", ".join(_name(group) for group in self._groups if not group & there)
        others = ", ".join(dict.fromkeys(map(str, self._listeners(("tcp", "udp")))))
        return f"container {self.container.name} does not listen on {names}; it listens on {others or 'nothing'}"

    def warnings(self) -> list[str]:
        """Published ports that nobody can reach, as their only listener is on the container's own loopback."""
        found: dict[str, None] = {}
        listeners = self._listeners(("tcp", "udp"))
        for publication in self._instance.store.ports(container=self.container.id):
            mapping = publication.mapping
            inside = range(mapping.container_port, mapping.container_port + mapping.count)
            for port in {one.port for one in listeners if one.protocol == mapping.protocol and one.port in inside}:
                there = [one for one in listeners if (one.port, one.protocol) == (port, mapping.protocol)]
                if all(one.address.is_loopback for one in there):
                    found[
                        f"WARNING: port {port}/{mapping.protocol} of {self.container.name} is published, but its"
                        f" program listens on {there[0].address} inside the container only: nobody outside reaches it."
                        f" Have it listen on 0.0.0.0 (or {publication.target})"
                    ] = None
        return list(found)

    def _listeners(self, protocols: Collection[str]) -> list[Listener]:
        found = self._table.listeners(protocols)
        if self.container.sandbox or not found:
            return found
        own = sockets_of(member_pids(self._instance, self.container))  # in the host's namespace are others', too
        return [one for one in found if one.inode in own]

    def _is_healthy(self) -> bool:
        current = self._instance.store.container(self.container.id)
        status = json.loads(current.health).get("Status") if current and current.health else ""
        if status == "unhealthy":
            raise MinirunError(f"container {self.container.name} is unhealthy", "minirun inspect shows why")
        return status == "healthy"

    def _follow(self) -> None:
        """Its process is gone: it has ended, or its restart policy starts it again, and it is waited for further."""
        reconcile(self._instance)
        current = self._instance.store.container(self.container.id)
        if current is None:
            raise MinirunError(f"container {self.container.name} has ended before it was ready, and was removed")
        self.container = current
        self._refuse_ended()

    def _refuse_ended(self) -> None:
        if self.container.status not in ACTIVE:
            state = "is not running" if self.container.status is Status.CREATED else "has ended"
            code = "" if self.container.status is Status.CREATED else f" (exit code {self.container.exit_code})"
            raise MinirunError(
                f"container {self.container.name} {state}{code}, and was not ready before",
                f"minirun logs {self.container.name} shows what it said",
            )


def until_ready(waiting: Collection[Waiting], seconds: float, say: Callable[[str], None]) -> None:
    """Wait for all of them, `seconds` at most (0: for ever). `say` is told what is waited for, when that takes long,
    and at the end what is amiss."""
    began = time.monotonic()
    delay, told = _SHORTEST, False
    left = list(waiting)
    while left := [one for one in left if not one.look()]:
        passed = time.monotonic() - began
        if seconds and passed >= seconds:
            raise MinirunError("; ".join(one.missing() for one in left) + f" (after {seconds:g} s)")
        if passed > _PATIENCE and not told:
            told = True
            for one in left:
                say(f"still waiting: {one.missing()}")
        time.sleep(min(delay, max(0.0, seconds - passed)) if seconds else delay)
        delay = min(delay * _GROWTH, _LONGEST)
    for one in waiting:
        for warning in one.warnings():
            say(warning)


def wait_for_all(instance: Instance, container: Container, seconds: float, say: Callable[[str], None]) -> None:
    with closing(Waiting.for_all(instance, container)) as waiting:
        until_ready([waiting], seconds, say)


def _groups_of(instance: Instance, container: Container) -> list[Collection[Port]]:
    """One for each port; of a range one port is enough, and of a wide one none is waited for: such ports are opened
    when they are needed, for a call or a transfer."""
    mappings = [*container.spec.ports, *(one.mapping for one in instance.store.ports(container=container.id))]
    groups = [
        frozenset((one.container_port + step, one.protocol) for step in range(one.count))
        for one in mappings
        if is_reserved(one)
    ]
    published = {port for one in mappings for port in one.private_ports}
    exposed = [one.partition("/") for one in container.spec.expose if one not in published]
    groups += [frozenset([(int(number), protocol)]) for number, _, protocol in exposed]
    return list(dict.fromkeys(groups))


def _table_of(container: Container) -> SocketTable:
    if not container.sandbox:
        return SocketTable()
    with entered(container.name):
        return SocketTable()


def _name(group: Collection[Port]) -> str:
    first, last = min(group), max(group)
    return f"{first[0]}/{first[1]}" if first == last else f"any of {first[0]}-{last[0]}/{first[1]}"
