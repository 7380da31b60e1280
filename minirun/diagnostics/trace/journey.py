"""Where a packet was seen, and the diagnosis: plain data."""

from dataclasses import dataclass, field

from minirun.diagnostics.trace.endpoints import HOST, Source, Target
from minirun.kernel.netlink_events import Step
from minirun.kernel.packets import Packet
from minirun.kernel.taps import Sight


@dataclass(frozen=True)
class Passage:
    """The packet at one interface, in one direction."""

    place: str  # the network stack: host, outside, or a container's name
    sight: Sight


@dataclass
class Journey:
    """All that was seen of one packet."""

    source: Source
    target: Target
    outcome: str = "timeout"  # connected, refused, timeout, or unreachable: it was not sent
    errno: int = 0
    sender: tuple[str, int] = ("", 0)  # address and port that it was sent from
    passages: list[Passage] = field(default_factory=list)
    answers: list[Passage] = field(default_factory=list)
    arp_requests: dict[str, str] = field(default_factory=dict)  # unanswered requests as text, by requested address
    steps: list[Step] = field(default_factory=list)
    rules: dict[tuple[str, str], dict[int, str]] = field(default_factory=dict)  # text by handle, by (family, table)

    def text_of(self, step: Step) -> str:
        """Return the text of a step's rule; "" if there is none."""
        return self.rules.get((step.family, step.table), {}).get(step.rule, "")

    @property
    def last_step(self) -> Step | None:
        """The last rule or policy that the packet met."""
        return self.steps[-1] if self.steps else None

    def at(self, place: str) -> list[Passage]:
        """Return the passages in one network stack."""
        return [passage for passage in self.passages if passage.place == place]

    @property
    def arrival(self) -> Packet | None:
        """The packet as it entered the target container, after translation; None if it did not."""
        container = self.target.container
        if container is None:
            return None
        sender = self.source.container
        is_local = sender is not None and sender.sandbox == container.sandbox
        seen = [passage for passage in self.at(container.name) if not passage.sight.outgoing or is_local]
        return seen[-1].sight.packet if seen else None

    @property
    def reached(self) -> bool:
        """Whether the packet was seen in the target container."""
        return self.arrival is not None

    @property
    def last_seen(self) -> Passage | None:
        """The passage furthest on the way. Taps are read in turn, so the order of `passages` does not tell."""
        host = self.at(HOST)
        for passages in ([passage for passage in host if passage.sight.outgoing], host, self.passages):
            if passages:
                return passages[-1]
        return None

    @property
    def is_answered(self) -> bool:
        """Whether the target container sent an answer."""
        container = self.target.container
        return container is not None and any(passage.place == container.name for passage in self.answers)


@dataclass(frozen=True)
class Diagnosis:
    """What happened to the packet, and what would change that."""

    arrived: bool
    sentence: str
    advice: tuple[str, ...] = ()  # commands to type, or what to change; a line each
