"""The journey of a packet as text, and as JSON."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any

from minirun.diagnostics.trace.endpoints import HOST
from minirun.diagnostics.trace.probe import Journey, Passage
from minirun.diagnostics.trace.reasons import Finding
from minirun.errors import printable
from minirun.kernel.netlink_events import Step


def as_text(journey: Journey, finding: Finding, color: bool) -> str:
    bold, dim, red, green, plain = (
        ("\033[1m", "\033[2m", "\033[31m", "\033[32m", "\033[0m") if color else ("", "", "", "", "")
    )
    target = journey.target
    lines = [f"{bold}{journey.source.shown} to {target.said}{plain}"]
    where = ""
    for place, words, detail in _story(journey):
        if place != where:
            lines.append(f"{place}")
            where = place
        lines.append(f"  {words}" if not detail else f"      {dim}{words}{plain}")
    for change in translations(journey):
        lines.append(f"  {change}")
    mark = f"{green}arrived{plain}" if finding.arrived else f"{red}not arrived{plain}"
    lines += ["", f"{mark}: {finding.sentence.removeprefix('arrived: ')}" if finding.arrived else finding.sentence]
    lines += [f"  {line}" for line in finding.advice]
    return "\n".join(printable_lines(lines) if not color else lines)


def printable_lines(lines: Iterable[str]) -> Iterator[str]:
    return (printable(line) for line in lines)


def _story(journey: Journey) -> Iterator[tuple[str, str, bool]]:
    """(place, words, whether it is a detail): where it was seen, with the rules between coming into the host and
    leaving it."""
    container = journey.target.container
    last = container.name if container else ""
    passages = journey.passages
    for one in passages:
        if one.place not in (HOST, last) or one.place == journey.source.name == last:
            yield one.place, _seen(one), False
    host = [one for one in passages if one.place == HOST]
    came_in = [one for one in host if not one.sight.outgoing]
    yield from ((HOST, _seen(one), False) for one in came_in)
    yield from ((HOST, _rule(journey, step), True) for step in journey.steps if _tells(journey, step))
    yield from ((HOST, _seen(one), False) for one in host if one.sight.outgoing)
    if last and last != journey.source.name:
        yield from ((last, _seen(one), False) for one in passages if one.place == last)


def _seen(passage: Passage) -> str:
    way = "->" if passage.sight.outgoing else "<-"
    return f"{way} {passage.sight.interface:<16} {passage.sight.packet}"


def _tells(journey: Journey, step: Step) -> bool:
    """A chain that was passed without a word is not worth a line."""
    return step.verdict == "drop" or bool(journey.text_of(step))


def _rule(journey: Journey, step: Step) -> str:
    what = journey.text_of(step) if step.kind == "rule" else f"policy {step.verdict}"
    verdict = "" if not step.target else f" => {step.target}"
    return f"{step.family} {step.table} {step.chain}: {what or step.verdict}{verdict}"


def translations(journey: Journey) -> list[str]:
    """What connection tracking made of the addresses: where it was sent, and where it was seen last."""
    target, furthest = journey.target, journey.last_seen
    if furthest is None:
        return []
    last = journey.arrival or furthest.sight.packet
    found = []
    if (last.destination, last.port) != (target.address, target.port):
        found.append(f"DNAT: {target.address}:{target.port} became {last.destination}:{last.port}")
    if (str(last.source), last.source_port) != journey.own:
        found.append(f"masquerade: {':'.join(map(str, journey.own))} became {last.source}:{last.source_port}")
    return found


def as_dict(journey: Journey, finding: Finding) -> dict[str, Any]:
    target = journey.target
    return {
        "from": journey.source.name,
        "to": target.said,
        "address": str(target.address),
        "port": target.port,
        "protocol": target.protocol,
        "container": target.container.name if target.container else None,
        "outcome": journey.outcome,
        "passages": [
            {
                "place": one.place,
                "interface": one.sight.interface,
                "outgoing": one.sight.outgoing,
                "time": one.sight.time,
                "packet": str(one.sight.packet),
            }
            for one in journey.passages
        ],
        "rules": [asdict(step) | {"text": journey.text_of(step)} for step in journey.steps],
        "translations": translations(journey),
        "arrived": finding.arrived,
        "sentence": finding.sentence,
        "advice": list(finding.advice),
    }
