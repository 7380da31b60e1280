"""The messages of the fork server: what a launcher sends is read as it was meant, and nothing else is taken for it."""

import array
import os
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minirun.forkserver import request as messages

HEADER = struct.Struct("=8sIIIIQQ")
MAGIC = b"minirun1"
word = st.binary(max_size=40).filter(lambda text: b"\0" not in text)


def open_files() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


@contextmanager
def spoken(data: bytes, fds: list[int]) -> Iterator[socket.socket]:
    """A connection on which a client says this, and nothing more."""
    near, far = socket.socketpair()

    def speak() -> None:
        try:
            far.sendmsg([data[:100]], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else [])
            far.sendall(data[100:])
            far.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    speaker = threading.Thread(target=speak)
    with near, far:
        near.settimeout(10)
        speaker.start()
        try:
            yield near
        finally:
            near.close()
            speaker.join()


def read(data: bytes, files: int) -> messages.Request:
    """Receive it; the descriptors that came are closed."""
    null = os.open("/dev/null", os.O_RDONLY)
    fds: list[int] = []
    try:
        with spoken(data, [null] * files) as channel:
            start, fds = messages.receive_start(channel)
            return messages.receive(channel, start, fds)
    finally:
        for fd in (null, *fds):
            os.close(fd)


def request(words: list[bytes], environment: list[bytes], numbers: list[int], ignored: int, blocked: int) -> bytes:
    strings = b"".join(one + b"\0" for one in words + environment)
    body = array.array("I", numbers).tobytes() + strings
    count = 3 + len(numbers)
    return HEADER.pack(MAGIC, len(body), count, len(words), len(environment), ignored, blocked) + body


@settings(deadline=None, max_examples=60)
@given(
    st.lists(word, min_size=1, max_size=9),
    st.lists(word, max_size=9),
    st.lists(st.integers(0, 1 << 20), unique=True, max_size=9),
    st.integers(0, (1 << 64) - 1),
    st.integers(0, (1 << 64) - 1),
)
def test_a_request_is_read_as_it_was_sent(
    words: list[bytes], environment: list[bytes], numbers: list[int], ignored: int, blocked: int
) -> None:
    got = read(request(words, environment, numbers, ignored, blocked), 3 + len(numbers))
    assert (got.words, got.environment, list(got.files)) == (words, environment, numbers)
    assert (got.ignored, got.blocked) == (ignored, blocked)
    assert len({got.launcher, got.root, got.directory, *got.files.values()}) == 3 + len(numbers)


@settings(deadline=None, max_examples=100)
@given(st.binary(max_size=300), st.integers(0, 5), st.booleans())
def test_anything_else_is_refused(data: bytes, files: int, is_begun: bool) -> None:
    """RequestError, never another error. (What files came with it end with the worker.)"""
    before = open_files()
    with pytest.raises(messages.RequestError):
        read(MAGIC + data if is_begun else data, files)
    for fd in open_files() - before:
        with suppress(OSError):
            os.close(int(fd))


@settings(deadline=None, max_examples=100)
@given(st.data())
def test_a_request_with_one_field_changed(data: st.DataObject) -> None:
    """It is refused, or it is a request all the same; what it says of sizes is never believed beyond their bounds."""
    whole = bytearray(request([b"minirun", b"ps"], [b"A=1"], [0, 1, 2], 0, 0))
    place = data.draw(st.sampled_from([8, 12, 16, 20]))
    whole[place : place + 4] = struct.pack("=I", data.draw(st.integers(0, (1 << 32) - 1)))
    try:
        got = read(bytes(whole), 6)
    except messages.RequestError:
        return
    assert (got.words + got.environment, len(got.files)) == ([b"minirun", b"ps", b"A=1"], 3)


@pytest.mark.parametrize("size", [(16 << 20) + 1, 100 << 20, (1 << 32) - 1])
def test_a_body_that_is_too_large_is_not_waited_for(size: int) -> None:
    with pytest.raises(messages.RequestError, match="this version"):
        read(HEADER.pack(MAGIC, size, 3, 1, 0, 0, 0), 3)


def test_a_body_that_is_shorter_than_the_numbers_of_its_files() -> None:
    with pytest.raises(messages.RequestError, match="do not fit"):
        read(HEADER.pack(MAGIC, 1, 6, 1, 0, 0, 0) + b"x", 6)


def test_the_start_is_answered_before_files_are_sent() -> None:
    near, far = socket.socketpair()
    with near, far:
        far.sendall(MAGIC)
        start, fds = messages.receive_start(near)
        far.shutdown(socket.SHUT_WR)
        with pytest.raises(messages.RequestError, match="ends early"):
            messages.receive(near, start, fds)
        assert far.recv(10) == messages.HELLO


def test_a_reply_that_nobody_reads_is_dropped() -> None:
    near, far = socket.socketpair()
    far.close()
    with near:
        messages.send_reply(near, messages.CODE, 3)


def test_a_long_reason_is_cut() -> None:
    near, far = socket.socketpair()
    with near, far:
        messages.send_reply(near, messages.PLAIN, text="ä" * 500)
        kind, value, text = struct.unpack("=c3xi120s", far.recv(1000))
    assert (kind, value, text[-1:]) == (messages.PLAIN, 0, b"\0")
