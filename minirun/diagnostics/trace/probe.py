"""Send one packet, or wait for one, and observe it at every interface and in every rule."""

import errno
import os
import re
import select
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import replace

from minirun.diagnostics.trace.endpoints import HOST, Source, Target, open_tap
from minirun.diagnostics.trace.journey import Journey, Passage
from minirun.errors import FAILED, MinirunError
from minirun.instance import Instance
from minirun.kernel.conntrack import flows
from minirun.kernel.netlink_events import Step, Trace
from minirun.kernel.nft import HeldRules, NftError, nft_rules, nft_table
from minirun.kernel.packets import Packet
from minirun.kernel.taps import Sight, Tap

_TABLE = "minirun_trace"
_PRIORITY = -450  # before all: connection tracking is at -200, the first chains of other programs at -300
_RETRANSMISSION = 0.7  # seconds after which a packet may be the first one, sent again (RFC 6298: after 1)
_ANSWER = 0.6  # seconds to wait for the answer to a packet that somebody else sent
_TURN, _TURN_PAUSE = 30.0, 0.02  # seconds to wait for another trace's end, and between two looks
_MOST_VANISHED = 20  # times that the other trace has ended between the refusal and the look
_LATE = 0.15  # seconds in which the last sights of a packet come in
_CHANCE = re.compile(r"numgen|limit|random|statistic|quota|ct count")  # another packet may pass such a rule


def send_probe(instance: Instance, source: Source, target: Target, seconds: float) -> Journey:
    """Send one packet (TCP SYN or UDP) and return its journey. `seconds` limits the wait for an answer."""
    journey = Journey(source, target)
    family = _family(target)
    with ExitStack() as cleanup:
        sender = source.socket(target.protocol, family)
        cleanup.callback(sender.close)
        address = _source_address(source, target)
        if isinstance(address, int):
            journey.outcome, journey.errno = "unreachable", address
            return journey
        sender.bind((address, 0))
        sender.setblocking(False)
        journey.sender = address, sender.getsockname()[1]
        observer = _Observer(journey, cleanup)
        _send(journey, sender, observer.token)
        observer.observe(sender, seconds)
    _read_rules(journey)
    return journey


def await_packet(instance: Instance, source: Source, target: Target, seconds: float) -> Journey:
    """Wait for the next TCP connection to the target's port, whoever opens it, and return its first packet's journey.

    Raises MinirunError if none comes within `seconds`.
    """
    journey = Journey(source, target)
    with ExitStack() as cleanup:
        _Observer(journey, cleanup).observe(None, seconds)
    if not journey.passages:
        raise MinirunError(f"no packet to {target.text} within {seconds:g} s", "", FAILED)
    flags = {flag for passage in journey.answers for flag in passage.sight.packet.flags}
    journey.outcome = "connected" if "S" in flags else "refused" if "R" in flags else "timeout"
    _read_conntrack(journey)
    _read_rules(journey)
    return journey


def _family(target: Target) -> int:
    return socket.AF_INET6 if target.address.version == 6 else socket.AF_INET


def _source_address(source: Source, target: Target) -> str | int:
    """Return the address that the kernel would send from, or an errno if it has no route."""
    with closing(source.socket("udp", _family(target))) as probe:
        try:
            probe.connect((str(target.address), target.port))
            return str(probe.getsockname()[0])
        except OSError as error:
            return error.errno or errno.ENETUNREACH


def _send(journey: Journey, sender: socket.socket, token: bytes) -> None:
    to = (str(journey.target.address), journey.target.port)
    if journey.target.protocol == "udp":
        sender.connect(to)
        sender.send(token)
        return
    code = sender.connect_ex(to)
    if code not in (0, errno.EINPROGRESS):
        journey.errno = code


def _read_rules(journey: Journey) -> None:
    journey.rules = {table: nft_rules(*table) for table in {(step.family, step.table) for step in journey.steps}}


def _read_conntrack(journey: Journey) -> None:
    """Set the original addresses. If this host sent the packet itself, the first interface sees it after translation;
    connection tracking knows the original."""
    first, target = journey.passages[0].sight.packet, journey.target
    journey.sender = str(first.source), first.source_port
    last = journey.arrival or first
    entries = flows(target.protocol, _family(target), target.port)
    ports = (first.source_port, last.source_port)
    flow = next((each for each in entries if each.answerer == last.destination and each.source_port in ports), None)
    if flow is not None:
        journey.sender = str(flow.source), flow.source_port
        journey.target = replace(target, address=flow.destination)
    elif first.destination is not None and first.port == target.port:
        journey.target = replace(target, address=first.destination)


def _trace_rules(journey: Journey) -> str:
    """Build rules that make the kernel trace this packet and no other; without a sender, all packets to the port."""
    target = journey.target
    match = f"{target.protocol} dport {target.port}"
    if target.protocol == "tcp":
        match += " tcp flags & (syn | ack) == syn"
    address, port = journey.sender
    if address:
        ip = "ip6" if target.address.version == 6 else "ip"
        match += f" {ip} saddr {address} {ip} daddr {target.address} {target.protocol} sport {port}"
    lines = []
    for family, hooks in (("inet", ("prerouting", "output")), ("bridge", ("prerouting",))):
        chains = [
            f"chain {hook} {{ type filter hook {hook} priority {_PRIORITY}; {match} meta nftrace set 1 ; }}"
            for hook in hooks
        ]
        lines += [f"table {family} {_TABLE} {{", "flags owner", *chains, "}"]
    return "\n".join(lines) + "\n"


def _hold_rules(rules: str) -> HeldRules:
    """Hold the rules when it is this trace's turn: the kernel tells of all traced packets in a network namespace, and
    not whose they are. A table that belongs to another process cannot be added to. MinirunError after a while."""
    deadline, vanished = time.monotonic() + _TURN, 0
    while time.monotonic() < deadline:
        try:
            return HeldRules(rules)
        except NftError as error:
            vanished += not nft_table("inet", _TABLE)
            if error.errno != errno.EPERM or vanished > _MOST_VANISHED:  # that is no other trace
                raise
        time.sleep(_TURN_PAUSE)
    raise MinirunError("another trace is running in this network namespace", "wait for its end", FAILED)


class _Observer:
    """Taps on the interfaces of host, source and target, and a trace of the rules. Fills in the journey."""

    def __init__(self, journey: Journey, cleanup: ExitStack) -> None:
        self.token = os.urandom(12)  # the payload of a UDP probe, to recognize it
        self._journey = journey
        self._sequence: int | None = None  # of the first SYN
        self._trace_deadline = 0.0
        self._is_final: dict[Step, bool] = {}  # by the rule that dropped the packet
        self._taps = _open_taps(journey, cleanup)
        rules = _hold_rules(_trace_rules(journey))
        cleanup.callback(rules.close)
        self._trace = Trace()  # now: what is read is of this trace, and not of the one before
        cleanup.callback(self._trace.close)

    def observe(self, sender: socket.socket | None, seconds: float) -> None:
        """Observe until the outcome is known, `seconds` at most. Without `sender`, somebody else sends the packet."""
        journey, poll = self._journey, select.poll()
        if sender is not None:
            poll.register(sender, select.POLLOUT if journey.target.protocol == "tcp" else select.POLLIN)
        for fd in (*(tap.fileno() for _, tap in self._taps), self._trace.fileno()):
            poll.register(fd, select.POLLIN)
        deadline, is_decided, is_dropped = time.monotonic() + seconds, False, False
        while (rest := deadline - time.monotonic()) > 0:
            ready = {fd for fd, _ in poll.poll(int(rest * 1000) + 1)}
            if sender is not None and not is_decided and sender.fileno() in ready:
                is_decided = True
                poll.unregister(sender)
                journey.outcome, journey.errno = _result(journey.target, sender)
                deadline = min(deadline, time.monotonic() + _LATE)
            self._read_trace()
            self._read_taps()
            if sender is None and journey.passages and not is_decided:
                is_decided, deadline = True, time.monotonic() + _ANSWER
            if not is_decided and journey.errno:
                journey.outcome, is_decided = "unreachable", True
                deadline = min(deadline, time.monotonic() + _LATE)
            if sender is not None and not is_dropped and self._is_dropped():  # what is sent again meets the same rule
                is_dropped, deadline = True, min(deadline, time.monotonic() + _LATE)

    def _is_dropped(self) -> bool:
        """Whether a rule has dropped the packet, and would drop another one."""
        step = self._journey.last_step
        if step is None or step.verdict != "drop" or self._journey.reached:
            return False
        if step not in self._is_final:
            rule = nft_rules(step.family, step.table).get(step.rule, "")
            self._is_final[step] = not _CHANCE.search(rule.partition(" comment ")[0])
        return self._is_final[step]

    def _read_trace(self) -> None:
        steps = self._trace.read()
        if not steps:
            return
        if not self._journey.steps:
            self._trace_deadline = time.monotonic() + _RETRANSMISSION
        if time.monotonic() < self._trace_deadline:
            self._journey.steps += [step for step in steps if step.table != _TABLE]

    def _read_taps(self) -> None:
        for place, tap in self._taps:
            for sight in _sights(tap):
                self._note(Passage(place, sight))

    def _note(self, passage: Passage) -> None:
        journey, packet = self._journey, passage.sight.packet
        ports = (journey.target.port, journey.target.container_port)
        if packet.protocol == "arp":
            _note_arp(journey, packet)
        elif packet.protocol != journey.target.protocol:
            return
        elif packet.protocol == "udp":
            if self.token in passage.sight.data:
                _add(journey.passages, passage)
        elif _is_first(packet) and packet.port in ports:
            if self._sequence is None:
                self._sequence = packet.sequence
            if packet.sequence == self._sequence:
                _add(journey.passages, passage)
        elif set(packet.flags) & {"S", "R"} and packet.source_port in ports:
            _add(journey.answers, passage)


def _open_taps(journey: Journey, cleanup: ExitStack) -> list[tuple[str, Tap]]:
    source, container = journey.source, journey.target.container
    candidates = [(HOST, Tap()), (source.name, source.tap())]
    if container is not None and (source.container is None or container.sandbox != source.container.sandbox):
        candidates.append((container.name, open_tap(container)))
    taps = [(name, tap) for name, tap in candidates if tap is not None]
    for _, tap in taps:
        cleanup.callback(tap.close)
    return taps


def _sights(tap: Tap) -> Iterator[Sight]:
    while (sight := tap.read()) is not None:
        yield sight


def _result(target: Target, sender: socket.socket) -> tuple[str, int]:
    code = sender.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if code == 0:
        return "connected", 0
    if code == errno.ECONNREFUSED:
        return "refused", code
    return ("unreachable" if target.protocol == "tcp" else "refused"), code


def _is_first(packet: Packet) -> bool:
    """SYN without ACK, with or without flags for explicit congestion notification (RFC 3168)."""
    return "S" in packet.flags and "A" not in packet.flags


def _note_arp(journey: Journey, packet: Packet) -> None:
    if packet.kind.startswith("who has"):
        journey.arp_requests.setdefault(str(packet.destination), packet.kind)
    else:
        journey.arp_requests[str(packet.source)] = ""  # answered


def _add(passages: list[Passage], passage: Passage) -> None:
    """Add a passage once for each interface and direction: a retransmission is the same packet."""
    key = (passage.place, passage.sight.interface, passage.sight.outgoing)
    if all((each.place, each.sight.interface, each.sight.outgoing) != key for each in passages):
        passages.append(passage)
