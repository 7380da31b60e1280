"""Render the journey of a packet as text and as JSON."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from minirun.diagnostics.trace.endpoints import HOST
from minirun.diagnostics.trace.journey import Diagnosis, Journey, Passage
from minirun.errors import printable
from minirun.kernel.netlink_events import Step


def as_text(journey: Journey, diagnosis: Diagnosis, color: bool) -> str:
    """Render the journey: a line for each interface, the rules in between, translations, and the diagnosis."""
    bold, dim, red, green, plain = (
        ("\033[1m", "\033[2m", "\033[31m", "\033[32m", "\033[0m") if color else ("", "", "", "", "")
    )
    lines = [f"{bold}{journey.source.label} to {journey.target.text}{plain}"]
    current = ""
    for place, line, is_rule in _way(journey):
        if place != current:
            lines.append(place)
            current = place
        lines.append(f"      {dim}{line}{plain}" if is_rule else f"  {line}")
    lines += [f"  {translation}" for translation in translations(journey)]
    if diagnosis.arrived:
        sentence = f"{green}arrived{plain}: {diagnosis.sentence.removeprefix('arrived: ')}"
    else:
        sentence = f"{red}{diagnosis.sentence}{plain}"
    lines += ["", sentence, *(f"  {line}" for line in diagnosis.advice)]
    return "\n".join(lines if color else map(printable, lines))


def _way(journey: Journey) -> Iterator[tuple[str, str, bool]]:
    """Return (place, line, whether it is a rule) from the sender over the host to the target. Rules come between the
    packet's entering the host and leaving it."""
    container = journey.target.container
    last = container.name if container else ""
    for passage in journey.passages:
        if passage.place not in (HOST, last) or passage.place == journey.source.name == last:
            yield passage.place, _passage(passage), False
    host = journey.at(HOST)
    yield from ((HOST, _passage(passage), False) for passage in host if not passage.sight.outgoing)
    yield from ((HOST, _rule(journey, step), True) for step in journey.steps if _is_shown(journey, step))
    yield from ((HOST, _passage(passage), False) for passage in host if passage.sight.outgoing)
    if last and last != journey.source.name:
        yield from ((last, _passage(passage), False) for passage in journey.at(last))


def _passage(passage: Passage) -> str:
    arrow = "->" if passage.sight.outgoing else "<-"
    return f"{arrow} {passage.sight.interface:<16} {passage.sight.packet}"


def _is_shown(journey: Journey, step: Step) -> bool:
    """Show rules and drops, not the ends of chains."""
    return step.verdict == "drop" or bool(journey.text_of(step))


def _rule(journey: Journey, step: Step) -> str:
    text = journey.text_of(step) if step.kind == "rule" else f"policy {step.verdict}"
    target = f" => {step.target}" if step.target else ""
    return f"{step.family} {step.table} {step.chain}: {text or step.verdict}{target}"


def translations(journey: Journey) -> list[str]:
    """Compare the packet as it was sent with the packet as it was last seen: a line for DNAT, one for masquerade."""
    target, last_seen = journey.target, journey.last_seen
    if last_seen is None:
        return []
    last = journey.arrival or last_seen.sight.packet
    lines = []
    if (last.destination, last.port) != (target.address, target.port):
        lines.append(f"DNAT: {target.address}:{target.port} became {last.destination}:{last.port}")
    if (str(last.source), last.source_port) != journey.sender:
        lines.append(f"masquerade: {':'.join(map(str, journey.sender))} became {last.source}:{last.source_port}")
    return lines


def as_dict(journey: Journey, diagnosis: Diagnosis) -> dict[str, Any]:
    """Return the journey and the diagnosis as plain data for JSON."""
    target = journey.target
    return {
        "from": journey.source.name,
        "to": target.text,
        "address": str(target.address),
        "port": target.port,
        "protocol": target.protocol,
        "container": target.container.name if target.container else None,
        "outcome": journey.outcome,
        "passages": [
            {
                "place": passage.place,
                "interface": passage.sight.interface,
                "outgoing": passage.sight.outgoing,
                "time": passage.sight.time,
                "packet": str(passage.sight.packet),
            }
            for passage in journey.passages
        ],
        "rules": [asdict(step) | {"text": journey.text_of(step)} for step in journey.steps],
        "translations": translations(journey),
        "arrived": diagnosis.arrived,
        "sentence": diagnosis.sentence,
        "advice": list(diagnosis.advice),
    }
