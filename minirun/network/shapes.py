"""Faults that shape traffic: queueing disciplines at the ends of a container's cable, applied from the records.

What a container receives is shaped at the host's end, as it leaves for the container; what it sends at its own end, in
its network namespace. Both go with the veth, so a container that starts again gets them anew.
"""

import errno
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from minirun.instance import Instance
from minirun.kernel.netns import entered
from minirun.kernel.qdiscs import netem_replace, qdisc_del, tbf_replace, tbf_sizes
from minirun.model import BOTH, INWARD, OUTWARD, Endpoint, Fault, FaultKind
from minirun.network.dns.veth import EndpointInNetwork, endpoints_with_networks
from minirun.network.firewall.faults import targets

SHAPING = (FaultKind.DELAY, FaultKind.BANDWIDTH)


@dataclass(frozen=True)
class Shape:
    """What is to be done to the packets that leave by one end of a cable."""

    delay: int = 0  # microseconds, as is jitter
    jitter: int = 0
    rate: int = 0  # bits in a second; 0: no limit

    def apply(self, link: str) -> None:
        """Have the link's queueing discipline do it."""
        if self.delay or self.jitter:
            netem_replace(link, self.delay, self.jitter, self.rate)
        elif self.rate:
            tbf_replace(link, self.rate, *tbf_sizes(self.rate))
        else:
            qdisc_del(link)


def shape_of(faults: Iterable[Fault], direction: str) -> Shape:
    """Combine the faults of one cable in one direction: delays add up, and the lowest rate counts."""
    chosen = [fault for fault in faults if fault.direction in (BOTH, direction)]
    delays = [fault for fault in chosen if fault.kind is FaultKind.DELAY]
    rates = [fault.rate for fault in chosen if fault.kind is FaultKind.BANDWIDTH]
    return Shape(sum(each.delay for each in delays), sum(each.jitter for each in delays), min(rates, default=0))


def shape_new(instance: Instance, sandbox: str, endpoints: Sequence[Endpoint]) -> None:
    """Shape the cables of endpoints that were just attached."""
    if not instance.store.has_faults():
        return
    with instance.store.write():  # nobody heals a fault between the look and the change
        faults = [fault for fault in instance.store.faults_in_force() if fault.kind in SHAPING]
        positions = {endpoint.position for endpoint in endpoints}
        own = [pair for pair in endpoints_with_networks(instance, sandbox) if pair[0].position in positions]
        for pair in own:
            if faults_of_pair := [fault for fault in faults if targets(fault, [pair])]:
                _shape(instance, pair, faults_of_pair)


def shape_again(instance: Instance, changed: Fault) -> None:
    """Shape the cables that a fault is about, by what is on record now. The caller holds the write lock."""
    faults = [fault for fault in instance.store.faults_in_force() if fault.kind in SHAPING]
    pairs = [
        (endpoint, network)
        for endpoint in instance.store.endpoints(sandbox=changed.container or None)
        if (network := instance.store.network(endpoint.network))
    ]
    for pair in targets(changed, pairs):
        _shape(instance, pair, [fault for fault in faults if targets(fault, [pair])])


def _shape(instance: Instance, pair: EndpointInNetwork, faults: Sequence[Fault]) -> None:
    """Shape both ends of one cable. What has gone meanwhile, with its container, needs nothing."""
    endpoint, network = pair
    if not network.bridge:
        return
    try:
        shape_of(faults, INWARD).apply(endpoint.veth)
        name = instance.store.pin_of(endpoint.sandbox)
        with suppress(FileNotFoundError):
            if name:
                with entered(name):
                    shape_of(faults, OUTWARD).apply(endpoint.interface)
    except OSError as error:
        if error.errno != errno.ENODEV:
            raise
