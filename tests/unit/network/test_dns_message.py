"""DNS messages: any bytes are read or refused, and a long answer is cut."""

from hypothesis import given, settings
from hypothesis import strategies as st

from minirun.network.dns import message


@given(st.binary(max_size=600))
@settings(max_examples=600, deadline=None)
def test_no_bytes_make_the_reader_raise(data: bytes) -> None:
    query = message.parse_query(data)
    if query is not None:
        assert len(message.reply(query, [message.resource_record(message.A, b"\1\2\3\4")] * 40)) <= query.max_udp_size
        message.is_reply(data, query.id, query)


@given(st.lists(st.binary(min_size=1, max_size=63), max_size=5), st.integers(0, 65535), st.binary(max_size=40))
def test_a_question_is_read_whatever_follows_it(labels: list[bytes], kind: int, rest: bytes) -> None:
    name = b"".join(bytes([len(label)]) + label for label in labels) + b"\0"
    if len(name) > 255:
        return
    question = name + kind.to_bytes(2, "big") + b"\0\1"
    query = message.parse_query(b"\x12\x34\1\0\0\1\0\0\0\0\0\1" + question + rest)
    assert query is not None
    assert (query.id, query.kind, query.question) == (0x1234, kind, question)
    assert query.max_udp_size >= message.MIN_UDP_SIZE


def test_an_answer_that_is_too_long_is_cut_and_says_so() -> None:
    data = b"\0\1\1\0\0\1\0\0\0\0\0\0\1a\0\0\1\0\1"
    query = message.parse_query(data)
    assert query is not None
    records = [message.resource_record(message.A, bytes([10, 0, 0, number])) for number in range(100)]
    told = message.reply(query, records)
    assert len(told) <= 512
    assert told[2] & 2
    assert not message.reply(query, records, limit=message.MAX_SIZE)[2] & 2
    wide = message.parse_query(data[:11] + b"\1" + data[12:] + b"\0\0\x29\x10\0\0\0\0\0\0\0")
    assert wide is not None
    assert (wide.max_udp_size, wide.uses_edns) == (4096, True)
    assert not message.reply(wide, records)[2] & 2
