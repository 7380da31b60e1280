"""Port mappings: what is requested, which numbers an earlier start gave, and which network ports lead to."""

import pytest

from minirun.model import Attachment, Network, NetworkRequest, PortMapping, Spec
from minirun.network.endpoints import gateway_network
from minirun.network.ports.mappings import PreviousPorts, candidates, port_numbers, requested_mappings


def test_publish_all_adds_exposed_ports_with_consecutive_ones_as_a_range() -> None:
    spec = Spec(
        image="x",
        argv=(),
        ports=(PortMapping(80, 8080),),
        expose=("80/tcp", "81/tcp", "82/tcp", "90/tcp", "82/udp"),
        publish_all=True,
    )
    assert requested_mappings(spec) == (
        PortMapping(80, 8080),
        PortMapping(81, count=2),
        PortMapping(90),
        PortMapping(82, protocol="udp"),
    )


def test_a_random_port_is_requested_again_by_its_place_in_the_container() -> None:
    recorded = port_numbers([PortMapping(80, 32768), PortMapping(80, 32769), PortMapping(53, 32800, "udp")])
    previous = PreviousPorts(recorded, [PortMapping(80), PortMapping(80), PortMapping(53, protocol="udp")])
    assert [previous.take(PortMapping(80)) for _ in range(3)] == [32768, 32769, 0]
    assert previous.take(PortMapping(53, protocol="udp")) == 32800
    assert previous.take(PortMapping(80, 32768)) == 0, "a fixed port needs no earlier number"


def test_a_range_takes_only_earlier_numbers_within_it() -> None:
    ranged, free = PortMapping(80, 8000, host_last=8010), PortMapping(80)
    previous = PreviousPorts(port_numbers([PortMapping(80, 8005), PortMapping(80, 40000)]), [ranged, free])
    assert previous.take(free) == 40000
    assert previous.take(ranged) == 8005
    assert previous.take(ranged) == 0


@pytest.mark.parametrize(
    ("mapping", "previous", "expected"),
    [
        (PortMapping(80, 8080), 0, [8080]),
        (PortMapping(80, 8080), 9090, [8080]),
        (PortMapping(80, 8000, host_last=8002), 0, [8000, 8001, 8002]),
        (PortMapping(80, 8000, host_last=8002), 8001, [8001, 8000, 8001, 8002]),
    ],
)
def test_candidates_start_with_the_earlier_number(mapping: PortMapping, previous: int, expected: list[int]) -> None:
    assert list(candidates(mapping, "0.0.0.0", previous)) == expected


def test_the_gateway_network_has_the_highest_priority_and_leads_outside() -> None:
    first, second, inner = (Network(name, name, 0, internal=name == "inner") for name in ("first", "second", "inner"))
    plain = NetworkRequest(attachments=(Attachment("first"), Attachment("second"), Attachment("inner")))
    ranked = NetworkRequest(
        attachments=(Attachment("first"), Attachment("second", priority=5), Attachment("inner", priority=9))
    )
    assert gateway_network(plain, [first, second, inner]) is first
    assert gateway_network(ranked, [first, second, inner]) is second
    assert gateway_network(plain, [inner]) is None
