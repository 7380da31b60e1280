"""Parse packets, whatever their bytes."""

import pytest

from minirun.kernel.packets import Packet, read_frame

ETHER = "ff" * 12


IP = "450000{}0000{}40{}00007f0000017f000002"  # length, fragment, protocol


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        ("", "ether cut short"),
        (ETHER + "88cc", "ether type 0x88cc"),
        (ETHER + "080045", "ip cut short"),
        (
            ETHER + "08060001080006040001" + "0242ac110003ac110003" + "000000000000ac110002",
            "arp who has 172.17.0.2? tell 172.17.0.3",
        ),
        (
            ETHER + "0800" + IP.format("28", "0000", "06") + "1f90005000000001000000005002000000000000",
            "127.0.0.1:8080 > 127.0.0.2:80 tcp [S] seq 1 len 0",
        ),
        (
            ETHER + "810000640800" + IP.format("20", "0000", "11") + "003500350000000061626364",
            "127.0.0.1:53 > 127.0.0.2:53 udp len 4",
        ),
        (
            ETHER + "0800" + IP.format("1c", "2001", "01") + "0800000000010002",
            "127.0.0.1 > 127.0.0.2 ip fragment len 8",
        ),
        (
            ETHER + "86dd6000000000083a40" + ("00" * 15 + "01") * 2 + "8000000000010007",
            "::1 > ::1 icmp6 echo request len 0",
        ),
    ],
    ids=lambda value: value if " " in value else "",
)
def test_packets_as_lines(frame: str, expected: str) -> None:
    assert str(read_frame(bytes.fromhex(frame))) == expected


def test_no_bytes_make_the_parser_raise() -> None:
    from hypothesis import given
    from hypothesis import strategies as st

    kinds = st.sampled_from([b"\x08\x00E", b"\x86\xdd`", b"\x08\x06", b"\x81\x00", b"\x08\x00F", b""])

    @given(kinds, st.binary(max_size=120))
    def check(kind: bytes, rest: bytes) -> None:
        packet = read_frame(bytes(12) + kind + rest)
        assert isinstance(packet, Packet)
        assert str(packet)

    check()
