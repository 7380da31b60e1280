"""Which ports of the host a start asks for: what is said, what an earlier start had, or what the kernel picks."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby

from minirun.kernel.sockets import port_hold
from minirun.model import PortMapping, Spec

_TRIES = 20  # of random ports


def wanted(spec: Spec) -> tuple[PortMapping, ...]:
    """What is published, with -P also what is only exposed: neighbours as one range."""
    if not spec.publish_all:
        return spec.ports
    published = {port for mapping in spec.ports for port in mapping.private_ports}
    parts = (one.partition("/") for one in spec.expose if one not in published)
    exposed = sorted((protocol, int(port)) for port, _, protocol in parts)
    runs = groupby(enumerate(exposed), lambda item: (item[1][0], item[1][1] - item[0]))
    found = [[one for _, one in run] for _, run in runs]
    return (*spec.ports, *(PortMapping(run[0][1], 0, run[0][0], count=len(run)) for run in found))


class Wishes:
    """The numbers that an earlier start was given, for those that name none: each is asked for again.

    On record as text, for each place in the container a list: the same one may be published twice.
    """

    def __init__(self, held: Mapping[str, str], asked: Iterable[PortMapping]) -> None:
        asked = list(asked)
        fixed = {one.host_port for one in asked if one.is_fixed}
        self._ranges = [one for one in asked if one.host_last]
        numbers = {key: [int(text) for text in texts.split(",")] for key, texts in held.items() if "/" in key}
        self._left = {key: [one for one in found if one not in fixed] for key, found in numbers.items()}

    def take(self, mapping: PortMapping) -> int:
        """0: there is none (left). One that names a range has what lies in it; the others have what no range can."""
        left = [] if mapping.is_fixed else self._left.get(_key(mapping), [])
        if mapping.host_last:
            fitting = [number for number in left if _is_within(number, mapping)]
        else:
            ranges = [one for one in self._ranges if _key(one) == _key(mapping)]
            free = [number for number in left if not any(_is_within(number, one) for one in ranges)]
            fitting = free or ([] if ranges else left)
        if fitting:
            left.remove(fitting[0])
        return fitting[0] if fitting else 0


def on_record(placed: Iterable[PortMapping]) -> dict[str, str]:
    found: dict[str, str] = {}
    for one in placed:
        key = _key(one)
        found[key] = f"{found[key]},{one.host_port}" if key in found else str(one.host_port)
    return found


def choices(mapping: PortMapping, host: str, wish: int) -> Iterator[int]:
    """First ports on the host, the best first."""
    if mapping.is_fixed:
        yield mapping.host_port
        return
    if wish:
        yield wish
    if mapping.host_last:
        yield from range(mapping.host_port, mapping.host_last + 1)
        return
    for _ in range(_TRIES):
        with port_hold(mapping.protocol, host, 0) as chosen:
            first = int(chosen.getsockname()[1])
        if first + mapping.count <= 65536:
            yield first


def _is_within(number: int, mapping: PortMapping) -> bool:
    return mapping.host_port <= number <= mapping.host_last


def _key(mapping: PortMapping) -> str:
    return f"{mapping.host}:{mapping.container_port}/{mapping.protocol}"
