"""Frames between the shim and its clients: cut anywhere, and spooled to disk."""

import os
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from minirun.engine.protocol import HIGH_WATER, Kind, Outbox, Parser, Spool, frame


def test_a_spool_gives_back_all_frames_in_order(tmp_path: Any) -> None:
    spool = Spool(str(tmp_path))
    frames = [frame(Kind.OUT, bytes([number % 256]) * 5000) for number in range(300)]
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    got = bytearray()
    for number, piece in enumerate(frames):
        spool.add(piece)
        if number % 3 == 0:
            assert spool.flush(write_end)
            got += os.read(read_end, 9000)
    assert len(spool._pending) < HIGH_WATER + 2 * 5005
    while len(got) < sum(map(len, frames)):
        spool.flush(write_end)
        got += os.read(read_end, 65536)
    assert bytes(got) == b"".join(frames)
    assert [body[:1] for _, body in Parser().feed(bytes(got))] == [bytes([number % 256]) for number in range(300)]
    assert not spool
    assert isinstance(spool, Outbox)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(list(Kind)), st.binary(max_size=300))), st.integers(1, 50))
def test_frames_arrive_whole_however_they_are_cut(frames: list[tuple[Kind, bytes]], size: int) -> None:
    stream = b"".join(frame(kind, body) for kind, body in frames)
    parser = Parser()
    pieces = [stream[i : i + size] for i in range(0, len(stream), size)]
    assert [one for piece in pieces for one in parser.feed(piece)] == frames
