"""From what was seen to one sentence, and what would change it."""

import errno
import os
import re
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from minirun.diagnostics.trace.endpoints import inside
from minirun.diagnostics.trace.probe import Journey
from minirun.instance import Instance
from minirun.kernel.nftrace import Step
from minirun.kernel.sock_diag import Listener, SocketTable
from minirun.model import Container, Mode, Network
from minirun.network.dns.veth import legs_of
from minirun.network.firewall.foreign.detect import TOLD, advice, blocking_places, is_own, owner_of, reach_of

_FORWARDING = {4: "net.ipv4.ip_forward", 6: "net.ipv6.conf.all.forwarding"}


@dataclass(frozen=True)
class Finding:
    arrived: bool
    sentence: str
    advice: tuple[str, ...] = ()  # what would allow it


def judge(instance: Instance, journey: Journey) -> Finding:
    """The first that explains what was seen."""
    for look in (_no_way, _dropped, _arrived, _nobody_there, _not_published, _not_forwarded, _others, _unanswered):
        if found := look(instance, journey):
            return found
    return _lost(journey)


# --- it was never sent


def _no_way(instance: Instance, journey: Journey) -> Finding | None:
    if journey.outcome != "unreachable" or journey.passages:
        return None
    source, target = journey.source.container, journey.target
    why = os.strerror(journey.errno).lower()
    if source is None:
        return Finding(False, f"nothing was sent: this host has no way to {target.address} ({why})", ("ip route get",))
    if source.spec.network.mode is Mode.NONE:
        sentence = f"nothing was sent: {source.name} runs with --net=none and has no interface but loopback"
        return Finding(
            False, sentence, (f"run it with --net=bridge, or: minirun network connect bridge {source.name}",)
        )
    networks = [network for _, network in legs_of(instance, source.sandbox)]
    if networks and all(network.internal for network in networks):
        names = ", ".join(network.name for network in networks)
        sentence = (
            f"nothing was sent: {source.name} is only in {names}, made with --internal, so it has no route to"
            f" {target.address}"
        )
        return Finding(False, sentence, (f"minirun network connect bridge {source.name}",))
    return Finding(False, f"nothing was sent: {source.name} has no way to {target.address} ({why})", _route(source))


def _route(source: Container) -> tuple[str, ...]:
    return (f"minirun exec {source.name} ip route", "minirun network reload")


# --- a rule


def _dropped(instance: Instance, journey: Journey) -> Finding | None:
    last = journey.last_step
    if last is None or last.verdict != "drop" or journey.reached:
        return None
    if is_own(last.table):
        return _dropped_by_minirun(instance, journey, last)
    owner = owner_of(last.family, last.table, (last.chain,))
    where = f"chain {last.chain} of {owner} table {last.family} {last.table}"
    if last.kind == "policy":
        sentence = f"dropped on this host by the policy of {where}"
    else:
        sentence = f"dropped on this host by a rule in {where}: {journey.text_of(last)}"
    places = {(place.family, place.table): place for place in blocking_places(instance)}
    place = places.get((last.family, last.table))
    if place is None:
        return Finding(False, sentence, _let_in(last, journey))
    by_hand = advice(place, reach_of(instance)).partition("To allow it: ")[2].split("; ")
    mends = () if place.kind == TOLD else (f"minirun network reload puts a rule of minirun's into {place.chain}; or:",)
    return Finding(False, sentence, (*mends, *by_hand))


def _let_in(step: Step, journey: Journey) -> tuple[str, ...]:
    """Of a chain that is not on the way of what is forwarded, or knows no place for others."""
    target = journey.target
    match = f"{target.protocol} dport {target.inside_port or target.port}"
    return ("minirun network reload", f"nft insert rule {step.family} {step.table} {step.chain} {match} accept")


def _dropped_by_minirun(instance: Instance, journey: Journey, step: Step) -> Finding:
    rule = journey.text_of(step)
    comment = re.search(r'comment "([^"]*)"', rule)
    why = comment[1] if comment else rule
    source, target = journey.source, journey.target
    container = target.container
    sentence = f"dropped on this host by minirun's own rule ({step.family} {step.table}, chain {step.chain}): {why}"
    if container is None:
        return Finding(False, sentence)
    theirs = [network for _, network in legs_of(instance, container.sandbox)]
    if source.container is not None:
        mine = {network.id for _, network in legs_of(instance, source.container.sandbox)}
        if not mine & {network.id for network in theirs}:
            names = (_names_of(instance, source.container), _names_of(instance, container))
            sentence = (
                f"dropped on this host by minirun's own rule (chain {step.chain}): {source.name} is in {names[0]},"
                f" {container.name} is in {names[1]}, and networks are kept apart"
            )
            return Finding(False, sentence, _meet(source.container, theirs))
        return Finding(False, sentence)
    port = target.inside_port or target.port
    return Finding(
        False,
        f"dropped on this host by minirun's own rule (chain {step.chain}): port {port} of {container.name} is not"
        f" published, and from outside only published ports are reached",
        (f"minirun port add {container.name} {port}:{port}", f"or run it with -p {port}:{port}"),
    )


def _names_of(instance: Instance, container: Container) -> str:
    return ", ".join(network.name for _, network in legs_of(instance, container.sandbox)) or "no network"


def _meet(source: Container, theirs: list[Network]) -> tuple[str, ...]:
    return tuple(f"minirun network connect {network.name} {source.name}" for network in theirs[:1])


# --- it got there


def _arrived(instance: Instance, journey: Journey) -> Finding | None:
    target = journey.target
    if journey.outcome == "connected":
        who = f"{target.container.name} answered" if target.container else f"{target.address} answered"
        return Finding(True, f"arrived: {who} on {target.protocol} port {target.inside_port or target.port}")
    if target.protocol == "udp" and journey.reached and journey.outcome != "refused":
        assert target.container is not None
        return Finding(True, f"arrived at {target.container.name}; whether a program has read it nobody says (udp)")
    return None


def _nobody_there(instance: Instance, journey: Journey) -> Finding | None:
    target = journey.target
    if not journey.reached or target.container is None or journey.outcome != "refused":
        return None
    port, name = target.inside_port or target.port, target.container.name
    listeners = [one for one in _listeners(target.container) if one.protocol == target.protocol]
    there = [one for one in listeners if one.port == port]
    if there and all(one.address.is_loopback for one in there):
        arrival = journey.arrival
        where = arrival.destination if arrival else target.address
        return Finding(
            False,
            f"arrived at {name}, and refused there: its program listens on {there[0].address} inside the container"
            " only, where nobody from elsewhere reaches it",
            (f"have the program listen on 0.0.0.0 (or {where})",),
        )
    others = ", ".join(dict.fromkeys(map(str, listeners))) or "nothing"
    return Finding(
        False,
        f"arrived at {name}, and refused there: no program listens on port {port}; it listens on {others}",
        (f"minirun logs {name}", f"minirun wait --listening {port} {name}"),
    )


def _listeners(container: Container) -> list[Listener]:
    with inside(container), closing(SocketTable()) as table:
        return table.listeners()


# --- it got to this host, and no further


def _not_published(instance: Instance, journey: Journey) -> Finding | None:
    target = journey.target
    if not target.is_port_of_host or target.publication is not None or journey.outcome == "connected":
        return None
    inside_it = _who_has(instance, target.port)
    advised = [f"minirun port add {name} {target.port}:{port}" for name, port in inside_it]
    return Finding(
        False,
        f"refused by this host: no container publishes port {target.port}/{target.protocol}, and no program of the host"
        " listens there",
        tuple(advised) or ("minirun ps shows what is published", "minirun port add CONTAINER HOST_PORT:PORT"),
    )


def _who_has(instance: Instance, port: int) -> list[tuple[str, int]]:
    """Containers with a program on that port."""
    found = []
    for one in instance.store.containers():
        if one.init is not None and one.sandbox == one.id and any(seen.port == port for seen in _listeners(one)):
            found.append((one.name, port))
    return found


def _not_forwarded(instance: Instance, journey: Journey) -> Finding | None:
    """It came in, and the kernel did not even ask the rules of what is forwarded."""
    version = journey.target.address.version
    key = _FORWARDING[version]
    if journey.reached or Path("/proc/sys", key.replace(".", "/")).read_text().strip() != "0":
        return None
    if not [one for one in journey.at("host") if not one.sight.outgoing]:
        return None
    return Finding(
        False,
        f"dropped on this host: it does not forward ({key} is 0), so nothing passes from one interface to another",
        (f"sysctl -w {key}=1", "minirun network reload"),
    )


def _others(instance: Instance, journey: Journey) -> Finding | None:
    """Rules that nftables cannot trace: those of iptables-legacy."""
    if journey.reached or not journey.at("host"):
        return None
    legacy = [place for place in blocking_places(instance) if "legacy" in place.table or place.kind == "legacy"]
    if not legacy:
        return None
    told = advice(legacy[0], reach_of(instance))
    what, _, how = told.removeprefix("containers may be cut off: ").partition(". To allow it: ")
    return Finding(False, f"dropped on this host, most likely by iptables-legacy: {what}", tuple(how.split("; ")))


def _unanswered(instance: Instance, journey: Journey) -> Finding | None:
    container = journey.target.container
    if container is None or not journey.reached:
        return None
    if journey.answer_seen:
        return Finding(False, f"arrived at {container.name}, which answered, but the answer did not come back")
    return Finding(
        False,
        f"arrived at {container.name}, and nothing came back: its program, or rules inside the container, took no"
        " notice",
        (f"minirun logs {container.name}", f"ip netns exec {container.name} nft list ruleset"),
    )


def _lost(journey: Journey) -> Finding:
    target = journey.target
    wanted = target.publication.target if target.publication else target.address
    if question := journey.questions.get(str(wanted)):
        whose = f", which is that of {target.container.name}" if target.container else ""
        advised = ("minirun map shows whether its interface is up", "minirun network reload") if whose else ()
        return Finding(False, f"nobody has the address {wanted}{whose}: {question}, and no answer", advised)
    if journey.outcome == "refused":
        return Finding(False, f"refused: {target.address} has nobody who listens on port {target.port}")
    last = journey.last_seen
    if last is None:
        why = os.strerror(journey.errno).lower() if journey.errno else "no interface has seen it"
        return Finding(False, f"nothing was sent: {why}")
    way = "left by" if last.sight.outgoing else "came in by"
    sentence = f"no answer within the time: it {way} {last.sight.interface} of {last.place}, and was seen no more"
    if journey.errno == errno.EHOSTUNREACH:
        sentence = f"a router on the way says that {target.address} cannot be reached"
    return Finding(False, sentence)
