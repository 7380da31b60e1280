"""Send one packet, look at it wherever it passes, and write down what was seen."""

import errno
import os
import select
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace

from minirun.diagnostics.trace.endpoints import HOST, Source, Target, tap_in
from minirun.errors import FAILED, MinirunError
from minirun.instance import Instance
from minirun.kernel.conntrack import flows
from minirun.kernel.netlink_events import Step, Trace
from minirun.kernel.nft import HeldRules, nft_rules
from minirun.kernel.packets import Packet
from minirun.kernel.taps import Sight, Tap

_TABLE = "minirun_trace"
_BEFORE_ALL = -450  # connection tracking is at -200, and the first of others' chains at -300
_SENT_AGAIN = 0.7  # seconds after which it may be the same packet, sent once more (RFC 6298: after 1)
_ANSWERED = 0.6  # seconds in which an answer comes, of one that was waited for
_AFTERWARDS = 0.15  # seconds in which the last sights arrive


@dataclass(frozen=True)
class Passage:
    """The packet at one interface."""

    place: str  # whose network stack: host, a container, outside
    sight: Sight


@dataclass
class Journey:
    source: Source
    target: Target
    outcome: str = "silence"  # connected, refused, silence, or unreachable: nothing was sent
    errno: int = 0
    own: tuple[str, int] = ("", 0)  # address and port that it was sent from
    passages: list[Passage] = field(default_factory=list)
    answers: list[Passage] = field(default_factory=list)
    questions: dict[str, str] = field(default_factory=dict)  # ARP that nobody has answered, by who is asked for
    steps: list[Step] = field(default_factory=list)
    rules: dict[tuple[str, str], dict[int, str]] = field(default_factory=dict)  # text by handle, of (family, table)

    def text_of(self, step: Step) -> str:
        return self.rules.get((step.family, step.table), {}).get(step.rule, "")

    @property
    def last_step(self) -> Step | None:
        return self.steps[-1] if self.steps else None

    def at(self, place: str) -> list[Passage]:
        return [one for one in self.passages if one.place == place]

    @property
    def reached(self) -> bool:
        """Whether it was seen where it was to arrive."""
        container = self.target.container
        return container is not None and bool(self.at(container.name)) and self.arrival is not None

    @property
    def arrival(self) -> Packet | None:
        container = self.target.container
        if container is None:
            return None
        own = self.source.container is not None and self.source.container.sandbox == container.sandbox
        seen = [one for one in self.at(container.name) if not one.sight.outgoing or own]
        return seen[-1].sight.packet if seen else None

    @property
    def last_seen(self) -> Passage | None:
        """Where it was seen furthest on its way. Taps are read in turn, so the order of sights tells nothing."""
        host = self.at(HOST)
        for found in ([one for one in host if one.sight.outgoing], host, self.passages):
            if found:
                return found[-1]
        return None

    @property
    def answer_seen(self) -> bool:
        container = self.target.container
        return container is not None and any(one.place == container.name for one in self.answers)


def walk(instance: Instance, source: Source, target: Target, seconds: float) -> Journey:
    journey = Journey(source, target)
    family = socket.AF_INET6 if target.address.version == 6 else socket.AF_INET
    to = (str(target.address), target.port)
    with ExitStack() as done:
        sender = source.socket(target.protocol, family)
        done.callback(sender.close)
        own = _own_address(source, family, to)
        if isinstance(own, int):
            journey.outcome, journey.errno = "unreachable", own
            return journey
        sender.bind((own, 0))
        sender.setblocking(False)
        journey.own = own, sender.getsockname()[1]
        taps = _taps(source, target, done)
        trace = Trace()
        done.callback(trace.close)
        held = HeldRules(_marks(*journey.own, target))
        done.callback(held.close)
        token = os.urandom(12)
        _send(journey, sender, to, token)
        _look(journey, sender, taps, trace, token, seconds)
    journey.rules = {key: nft_rules(*key) for key in {(one.family, one.table) for one in journey.steps}}
    return journey


def await_one(instance: Instance, source: Source, target: Target, seconds: float) -> Journey:
    """The same for a packet that somebody else sends: the first that comes to the target's port. MinirunError when none
    comes in time."""
    journey = Journey(source, target)
    with ExitStack() as done:
        taps = _taps(source, target, done)
        trace = Trace()
        done.callback(trace.close)
        held = HeldRules(_marks("", 0, target))
        done.callback(held.close)
        _look(journey, None, taps, trace, b"", seconds)
    if not journey.passages:
        raise MinirunError(f"nobody has sent a packet to {target.said} within {seconds:g} s", "", FAILED)
    flags = {flag for one in journey.answers for flag in one.sight.packet.flags}
    journey.outcome = "connected" if "S" in flags else "refused" if "R" in flags else "silence"
    _ask_tracker(journey)
    journey.rules = {key: nft_rules(*key) for key in {(one.family, one.table) for one in journey.steps}}
    return journey


def _ask_tracker(journey: Journey) -> None:
    """Where it was sent, and from where: of one that this host has sent itself, the first interface sees it translated
    already. The connection tracker knows."""
    first, target = journey.passages[0].sight.packet, journey.target
    journey.own = str(first.source), first.source_port
    last = journey.arrival or first
    family = socket.AF_INET6 if target.address.version == 6 else socket.AF_INET
    entries = [one for one in flows(target.protocol, family, target.port) if one.answerer == last.destination]
    found = next((one for one in entries if one.source_port in (first.source_port, last.source_port)), None)
    if found is not None:
        journey.own = str(found.source), found.source_port
        journey.target = replace(target, address=found.destination)
    elif first.destination is not None and first.port == target.port:
        journey.target = replace(target, address=first.destination)


def _own_address(source: Source, family: int, to: tuple[str, int]) -> str | int:
    """The address that the kernel would send from; an errno when it knows no way."""
    probe = source.socket("udp", family)
    try:
        probe.connect(to)
        return str(probe.getsockname()[0])
    except OSError as error:
        return error.errno or errno.ENETUNREACH
    finally:
        probe.close()


def _taps(source: Source, target: Target, done: ExitStack) -> list[tuple[str, Tap]]:
    found = [(HOST, Tap()), (source.name, source.tap())]
    container = target.container
    if container is not None and (source.container is None or container.sandbox != source.container.sandbox):
        found.append((container.name, tap_in(container)))
    taps = [(name, tap) for name, tap in found if tap is not None]
    for _, tap in taps:
        done.callback(tap.close)
    return taps


def _marks(own: str, port: int, target: Target) -> str:
    """Rules that have the kernel tell of this packet, and of no other; without `own` of all that come to the port."""
    ip = "ip6" if target.address.version == 6 else "ip"
    match = f"{target.protocol} dport {target.port}"
    if target.protocol == "tcp":
        match += " tcp flags & (syn | ack) == syn"
    if own:
        match += f" {ip} saddr {own} {ip} daddr {target.address} {target.protocol} sport {port}"
    lines = []
    for family, hooks in (("inet", ("prerouting", "output")), ("bridge", ("prerouting",))):
        chains = [
            f"chain {hook} {{ type filter hook {hook} priority {_BEFORE_ALL}; {match} meta nftrace set 1 ; }}"
            for hook in hooks
        ]
        lines += [f"table {family} {_TABLE} {{", "flags owner", *chains, "}"]
    return "\n".join(lines) + "\n"


def _send(journey: Journey, sender: socket.socket, to: tuple[str, int], token: bytes) -> None:
    if journey.target.protocol == "udp":
        sender.connect(to)
        sender.send(token)
        return
    code = sender.connect_ex(to)
    if code not in (0, errno.EINPROGRESS):
        journey.errno = code


def _look(
    journey: Journey,
    sender: socket.socket | None,
    taps: list[tuple[str, Tap]],
    trace: Trace,
    token: bytes,
    seconds: float,
) -> None:
    poll = select.poll()
    if sender is not None:
        poll.register(sender, select.POLLOUT if journey.target.protocol == "tcp" else select.POLLIN)
    for fd in (*(tap.fileno() for _, tap in taps), trace.fileno()):
        poll.register(fd, select.POLLIN)
    until, settled, again = time.monotonic() + seconds, False, 0.0
    sequence: list[int] = []
    while (rest := until - time.monotonic()) > 0:
        for fd, _ in poll.poll(int(rest * 1000) + 1):
            if sender is not None and fd == sender.fileno() and not settled:
                settled = True
                poll.unregister(sender)
                journey.outcome, journey.errno = _result(journey.target, sender)
                until = min(until, time.monotonic() + _AFTERWARDS)
        if (seen := trace.read()) and (not journey.steps or time.monotonic() < again):
            again = again if journey.steps else time.monotonic() + _SENT_AGAIN
            journey.steps += [one for one in seen if one.table != _TABLE]
        for place, tap in taps:
            for sight in _all_of(tap):
                _note(journey, place, sight, sequence, token)
        if sender is None and journey.passages and not settled:
            settled, until = True, time.monotonic() + _ANSWERED
        if not settled and journey.errno:
            journey.outcome, settled = "unreachable", True
            until = min(until, time.monotonic() + _AFTERWARDS)


def _result(target: Target, sender: socket.socket) -> tuple[str, int]:
    code = sender.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if code == 0:
        return "connected", 0
    if code == errno.ECONNREFUSED:
        return "refused", code
    return ("unreachable" if target.protocol == "tcp" else "refused"), code


def _all_of(tap: Tap) -> Iterator[Sight]:
    while (sight := tap.read()) is not None:
        yield sight


def _note(journey: Journey, place: str, sight: Sight, sequence: list[int], token: bytes) -> None:
    packet = sight.packet
    if packet.protocol == "arp":
        _note_question(journey, packet)
        return
    if packet.protocol != journey.target.protocol:
        return
    if packet.protocol == "udp":
        if token in sight.data:
            _add(journey.passages, Passage(place, sight))
        return
    if _is_first(packet) and packet.port in (journey.target.port, journey.target.inside_port):
        if not sequence:
            sequence.append(packet.sequence)
        if packet.sequence == sequence[0]:
            _add(journey.passages, Passage(place, sight))
    elif set(packet.flags) & {"S", "R"} and packet.source_port in (journey.target.port, journey.target.inside_port):
        _add(journey.answers, Passage(place, sight))


def _is_first(packet: Packet) -> bool:
    """SYN without ACK; with what asks for congestion notification, or without (RFC 3168)."""
    return "S" in packet.flags and "A" not in packet.flags


def _note_question(journey: Journey, packet: Packet) -> None:
    if packet.kind.startswith("who has"):
        journey.questions.setdefault(str(packet.destination), packet.kind)
    else:
        journey.questions[str(packet.source)] = ""  # answered


def _add(passages: list[Passage], passage: Passage) -> None:
    """Each interface once, in each direction: what is sent again is the same packet."""
    key = (passage.place, passage.sight.interface, passage.sight.outgoing)
    if all((one.place, one.sight.interface, one.sight.outgoing) != key for one in passages):
        passages.append(passage)
