"""Diagnose a journey: one sentence on what happened to the packet, and what would change that."""

import errno
import os
from contextlib import closing
from pathlib import Path

from minirun.diagnostics.trace.endpoints import HOST, in_netns_of
from minirun.diagnostics.trace.journey import Diagnosis, Journey
from minirun.diagnostics.trace.rule_reasons import dropped_by_iptables_legacy, dropped_by_rule
from minirun.instance import Instance
from minirun.kernel.sock_diag import Listener, SocketTable
from minirun.model import Container, Mode
from minirun.network.dns.veth import endpoints_with_networks

_FORWARDING = {4: "net.ipv4.ip_forward", 6: "net.ipv6.conf.all.forwarding"}


def diagnose(instance: Instance, journey: Journey) -> Diagnosis:
    """Return the first reason that explains what was seen."""
    reasons = (
        *(_not_sent, dropped_by_rule, _arrived, _no_listener, _not_published, _not_forwarded),
        *(dropped_by_iptables_legacy, _not_answered),
    )
    for reason in reasons:
        if diagnosis := reason(instance, journey):
            return diagnosis
    return _lost(journey)


# --- the packet was not sent


def _not_sent(instance: Instance, journey: Journey) -> Diagnosis | None:
    if journey.outcome != "unreachable" or journey.passages:
        return None
    source, target = journey.source.container, journey.target
    error = os.strerror(journey.errno).lower()
    if source is None:
        return Diagnosis(False, f"not sent: this host has no route to {target.address} ({error})", ("ip route get",))
    if source.spec.network.mode is Mode.NONE:
        sentence = f"not sent: {source.name} runs with --net=none and has no interface except loopback"
        return Diagnosis(False, sentence, ("run it with --net=bridge in place of --net=none",))
    networks = [network for _, network in endpoints_with_networks(instance, source.sandbox)]
    if networks and all(network.internal for network in networks):
        names = ", ".join(network.name for network in networks)
        sentence = f"not sent: {source.name} has no route to {target.address}: it is only in {names} (--internal)"
        return Diagnosis(False, sentence, (f"minirun network connect bridge {source.name}",))
    sentence = f"not sent: {source.name} has no route to {target.address} ({error})"
    return Diagnosis(False, sentence, (f"minirun exec {source.name} ip route", "minirun network reload"))


# --- the packet reached the container


def _arrived(instance: Instance, journey: Journey) -> Diagnosis | None:
    target = journey.target
    if journey.outcome == "connected":
        name = target.container.name if target.container else str(target.address)
        port = target.container_port or target.port
        return Diagnosis(True, f"arrived: {name} answered on {target.protocol} port {port}")
    if target.protocol == "udp" and journey.reached and journey.outcome != "refused":
        assert target.container is not None
        return Diagnosis(
            True, f"arrived: the packet reached {target.container.name}; UDP does not tell whether a program read it"
        )
    return None


def _no_listener(instance: Instance, journey: Journey) -> Diagnosis | None:
    target = journey.target
    if not journey.reached or target.container is None or journey.outcome != "refused":
        return None
    port, name = target.container_port or target.port, target.container.name
    listeners = [each for each in _listeners(target.container) if each.protocol == target.protocol]
    on_port = [listener for listener in listeners if listener.port == port]
    if on_port and all(listener.address.is_loopback for listener in on_port):
        address = journey.arrival.destination if journey.arrival else target.address
        return Diagnosis(
            False,
            f"arrived at {name}, which refused it: its program listens only on {on_port[0].address} inside the"
            " container, which other hosts and containers cannot reach",
            (f"make the program listen on 0.0.0.0 (or {address})",),
        )
    others = ", ".join(dict.fromkeys(map(str, listeners))) or "nothing"
    return Diagnosis(
        False,
        f"arrived at {name}, which refused it: no program listens on port {port}; it listens on {others}",
        (f"minirun logs {name}", f"minirun wait --listening {port} {name}"),
    )


def _listeners(container: Container) -> list[Listener]:
    with in_netns_of(container), closing(SocketTable()) as table:
        return table.listeners()


def _not_answered(instance: Instance, journey: Journey) -> Diagnosis | None:
    container = journey.target.container
    if container is None or not journey.reached:
        return None
    name = container.name
    if journey.is_answered:
        return Diagnosis(False, f"arrived at {name}, which answered, but the answer did not come back")
    return Diagnosis(
        False,
        f"arrived at {name}, which did not answer: its program or rules inside the container ignored the packet",
        (f"minirun logs {name}", f"ip netns exec {name} nft list ruleset"),
    )


# --- the packet reached this host and no container


def _not_published(instance: Instance, journey: Journey) -> Diagnosis | None:
    target = journey.target
    if not target.is_host_port or target.publication is not None or journey.outcome == "connected":
        return None
    advice = [f"minirun port add {name} {target.port}:{target.port}" for name in _listening(instance, target.port)]
    return Diagnosis(
        False,
        f"refused by this host: no container publishes port {target.port}/{target.protocol}, and no program on the"
        " host listens on it",
        tuple(advice) or ("minirun ps shows published ports", "minirun port add CONTAINER HOST_PORT:PORT"),
    )


def _listening(instance: Instance, port: int) -> list[str]:
    """Return the names of running containers whose program listens on a port."""
    return [
        container.name
        for container in instance.store.containers()
        if container.init is not None
        and container.sandbox == container.id
        and any(listener.port == port for listener in _listeners(container))
    ]


def _not_forwarded(instance: Instance, journey: Journey) -> Diagnosis | None:
    """The packet came in, and the kernel did not pass it to the forward hook."""
    key = _FORWARDING[journey.target.address.version]
    if journey.reached or Path("/proc/sys", key.replace(".", "/")).read_text().strip() != "0":
        return None
    if all(passage.sight.outgoing for passage in journey.at(HOST)):
        return None
    return Diagnosis(
        False,
        f"dropped on this host: IP forwarding is off ({key} is 0), so packets cannot cross between interfaces",
        (f"sysctl -w {key}=1", "minirun network reload"),
    )


def _lost(journey: Journey) -> Diagnosis:
    """Describe the last place where the packet was seen, when no known reason applies."""
    target = journey.target
    wanted = target.publication.target if target.publication else target.address
    if request := journey.arp_requests.get(str(wanted)):
        owner = f", the address of {target.container.name}" if target.container else ""
        advice = ("minirun map shows whether its interface is up", "minirun network reload") if owner else ()
        return Diagnosis(False, f"no host answers for {wanted}{owner}: {request}, without an answer", advice)
    if journey.outcome == "refused":
        return Diagnosis(False, f"refused: no program at {target.address} listens on port {target.port}")
    last = journey.last_seen
    if last is None:
        error = os.strerror(journey.errno).lower() if journey.errno else "no interface saw it"
        return Diagnosis(False, f"not sent: {error}")
    if journey.errno == errno.EHOSTUNREACH:
        return Diagnosis(False, f"a router on the way reports that {target.address} is unreachable")
    direction = "sent by" if last.sight.outgoing else "received by"
    sentence = f"no answer in time: the packet was last seen {direction} {last.sight.interface} of {last.place}"
    return Diagnosis(False, sentence)
