"""Waiting until a container is ready: its program listens, has written a line, answers a request, is healthy.

The kernel is asked which sockets listen in the network namespace (sock_diag(7)): no program runs in the container, and
no connection is made to it, except for an HTTP condition, which is a request.
"""

import json
import time
from collections.abc import Callable, Collection, Iterable
from contextlib import closing
from ipaddress import IPv4Address, IPv6Address

from minirun.engine.liveness import is_alive, member_pids, wait_until_started
from minirun.engine.reconcile import reconcile
from minirun.engine.startup_log import StartupLog
from minirun.errors import MinirunError
from minirun.instance import Instance
from minirun.kernel.netns import entered
from minirun.kernel.sock_diag import Listener, SocketTable
from minirun.kernel.sockets import sockets_of
from minirun.model import ACTIVE, Container, Status
from minirun.network.operations import is_reserved
from minirun.options.readiness import Conditions, HttpRequest

Port = tuple[int, str]  # number, protocol
_MIN_DELAY, _MAX_DELAY, _GROWTH = 0.001, 0.020, 1.5  # seconds between two looks
_SAY_AFTER = 10.0  # seconds until the user is told what is waited for
_LOOPBACK_GRACE = 1.0  # seconds: a program may listen on its loopback first, and on all addresses a moment later


class ReadinessCheck:
    """Waits for one container. `groups` are sets of ports; of each, one port must be listened on.

    With `conditions`, all of those must be met, and published ports must be reachable from outside. MinirunError when
    the container is not running.
    """

    def __init__(
        self,
        instance: Instance,
        container: Container,
        groups: Iterable[Collection[Port]],
        conditions: Conditions | None = None,
    ) -> None:
        self._instance = instance
        self.container = wait_until_started(instance, instance.store.container(container.id) or container)
        self._conditions = conditions or Conditions()
        self._is_strict = conditions is not None
        self._groups = [frozenset(group) for group in groups]
        self._by_health = self._conditions.healthy
        self._unreachable_since = 0.0
        self._answers: dict[HttpRequest, str] = {}  # what a request got last; "" is a good answer
        self.seen: list[Listener] = []
        self.log = StartupLog(instance, self.container, self._conditions.log)
        self._refuse_ended()
        try:
            self._table = _table_of(self.container)
        except OSError:  # its namespace was just removed
            self._follow()
            self._table = _table_of(self.container)

    def close(self) -> None:
        """Close the socket to the kernel, and the log."""
        self._table.close()
        self.log.close()

    @classmethod
    def of(cls, instance: Instance, container: Container, conditions: Conditions) -> "ReadinessCheck":
        """Wait for conditions. The default one is the health check, if there is one, else all published and exposed
        ports, if any."""
        groups: list[Collection[Port]] = [[port] for port in conditions.ports]
        by_health = conditions.by_default and container.spec.health is not None
        if conditions.by_default and not by_health:
            groups += _groups_of(instance, container)
        waiting = cls(instance, container, groups, conditions)
        waiting._by_health |= by_health
        waiting._check_possible()
        return waiting

    @property
    def is_for_nothing(self) -> bool:
        """Whether there is nothing to wait for: the container is ready as soon as it has started."""
        return not (self._by_health or self._groups or self._conditions.log or self._conditions.http)

    def look(self) -> bool:
        """Whether it is ready now. MinirunError when it has ended, is unhealthy, or can't be reached from outside."""
        if not is_alive(self.container.init):
            self._follow()
        wanted = {protocol for group in self._groups for _, protocol in group}
        self.seen = self._listeners(sorted(wanted)) if wanted else []
        ports = _ports_of(self.seen)
        return (
            (not self._by_health or self._is_healthy())
            and all(group & ports for group in self._groups)
            and (not self._conditions.log or self.log.look())
            and all(self._answers_well(request) for request in self._conditions.http)
            and (not self._is_strict or self._is_reachable())
        )

    def missing(self) -> str:
        """Describe what it does not do yet, and which ports it listens on."""
        name, ports = f"container {self.container.name}", _ports_of(self.seen)
        closed = ", ".join(_name(group) for group in self._groups if not group & ports)
        texts = []
        if self._by_health and not self._is_healthy():
            texts.append(f"{name} is not healthy")
        if closed:
            texts.append(f"{name} does not listen on {closed}; it listens on {self._listening_on()}")
        texts += [f'{name} has written no line like "{pattern.pattern}"' for pattern in self.log.wanted]
        for request in self._conditions.http:
            if answer := self._answers.get(request, "" if closed else "it was not asked yet"):
                texts.append(f"{name} does not answer GET {request.path} as wanted: {answer}")
        return "; ".join(texts) or f"{name} is ready, but cannot be reached from outside"

    def warnings(self) -> list[str]:
        """Describe published ports that nobody can reach, as the program listens on the container's loopback only."""
        return [f"WARNING: {text}" for text in self._unreachable()]

    def _unreachable(self) -> list[str]:
        texts: dict[str, None] = {}
        listeners = self._listeners(("tcp", "udp"))
        for publication in self._instance.store.ports(container=self.container.id):
            mapping = publication.mapping
            published = range(mapping.container_port, mapping.container_port + mapping.count)
            for port in {port for port, protocol in _ports_of(listeners) if protocol == mapping.protocol}:
                on_port = [each for each in listeners if (each.port, each.protocol) == (port, mapping.protocol)]
                if port in published and all(each.address.is_loopback for each in on_port):
                    texts[
                        f"port {port}/{mapping.protocol} of {self.container.name} is published, but its"
                        f" program listens on {on_port[0].address} inside the container only, where nobody outside"
                        f" reaches it. Make it listen on 0.0.0.0 (or {publication.target})"
                    ] = None
        return list(texts)

    def _is_reachable(self) -> bool:
        texts = self._unreachable()
        now = time.monotonic()
        self._unreachable_since = (self._unreachable_since or now) if texts else 0.0
        if texts and now - self._unreachable_since >= _LOOPBACK_GRACE:
            raise MinirunError("; ".join(texts), self.log.tail())
        return not texts

    def _answers_well(self, request: HttpRequest) -> bool:
        port = request.port or self._only_port()
        listeners = [each for each in self._listeners(["tcp"]) if each.port == port]
        if not listeners:
            self._answers[request] = f"it does not listen on {port}/tcp; it listens on {self._listening_on()}"
            return False
        where = self.container.name if self.container.sandbox else ""
        from minirun.engine.http_request import answer_of  # http.client takes 5 ms, which each first command would pay

        self._answers[request] = answer_of(where, str(self._address(listeners)), port, request.path, request.status)
        return not self._answers[request]

    def _address(self, listeners: list[Listener]) -> IPv4Address | IPv6Address:
        """Where a request reaches one of the listeners: at its address on a network, if there is one."""
        listener = next((each for each in listeners if not each.address.is_loopback), listeners[0])
        if not listener.address.is_unspecified:
            return listener.address
        endpoints = self._instance.store.endpoints(sandbox=self.container.sandbox) if self.container.sandbox else []
        return next((endpoint.address for endpoint in endpoints if endpoint.address), IPv4Address("127.0.0.1"))

    def _only_port(self) -> int:
        ports = {port for group in _groups_of(self._instance, self.container) for port, kind in group if kind == "tcp"}
        if len(ports) != 1:
            raise MinirunError(
                f"container {self.container.name} publishes or exposes {len(ports) or 'no'} TCP ports",
                "name the one that is asked: --wait=http:PORT/PATH",
            )
        return ports.pop()

    def _check_possible(self) -> None:
        """Refuse what can never be met. MinirunError."""
        if self._by_health and self.container.spec.health is None:
            raise MinirunError(f"container {self.container.name} has no health check", "--health-cmd gives it one")
        if self._conditions.log and self.container.spec.logging.driver == "none":
            raise MinirunError(f"container {self.container.name} has no log: its log driver is none")
        if any(not request.port for request in self._conditions.http):
            self._only_port()

    def _listening_on(self) -> str:
        return ", ".join(dict.fromkeys(map(str, self._listeners(("tcp", "udp"))))) or "nothing"

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
            name = self.container.name
            raise MinirunError(f"container {name} ended before it was ready, and was removed", self.log.tail())
        self.container = current
        self._refuse_ended()
        self.log.follow(current)

    def _refuse_ended(self) -> None:
        if self.container.status not in ACTIVE:
            state = "is not running" if self.container.status is Status.CREATED else "has ended"
            code = "" if self.container.status is Status.CREATED else f" (exit code {self.container.exit_code})"
            raise MinirunError(
                f"container {self.container.name} {state}{code}, and was not ready before", self.log.tail()
            )


def listens_on(instance: Instance, container: Container, ports: Collection[Port]) -> str:
    """Look once whether a running container listens on all of these ports. Return what is missing, "" for nothing."""
    with closing(ReadinessCheck(instance, container, [[port] for port in ports])) as check:
        return "" if check.look() else check.missing()


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
            missing = "; ".join(each.missing() for each in left)
            raise MinirunError(f"{missing} (after {seconds:g} s)", "\n".join(each.log.tail() for each in left))
        if passed > _SAY_AFTER and not told:
            told = True
            for each in left:
                say(f"still waiting: {each.missing()}")
        time.sleep(min(delay, max(0.0, seconds - passed)) if seconds else delay)
        delay = min(delay * _GROWTH, _MAX_DELAY)
    for each in waiting:
        for warning in each.warnings():
            say(warning)


def wait_for_container(
    instance: Instance, container: Container, conditions: Conditions, seconds: float, say: Callable[[str], None]
) -> None:
    """Wait until one container meets `conditions`: `ReadinessCheck.of`, then `wait_until_ready`."""
    with closing(ReadinessCheck.of(instance, container, conditions)) as waiting:
        if waiting.is_for_nothing:
            say(
                f"--wait has nothing to wait for: {container.name} has no health check, and no port is published or"
                " exposed; it has started"
            )
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
