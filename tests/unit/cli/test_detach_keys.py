"""Detach keys: read from their text, and found in what is typed."""

import pytest

from minirun.cli.container.attach_session import DetachKeys, parse_detach_keys
from minirun.errors import MinirunError


@pytest.mark.parametrize(
    ("typed", "passed", "detached"),
    [
        ([b"abc"], b"abc", False),
        ([b"\x10\x11"], b"", True),
        ([b"a\x10", b"\x11b"], b"a", True),
        ([b"\x10", b"x"], b"\x10x", False),
        ([b"\x10\x10\x11"], b"\x10", True),
    ],
)
def test_detach_keys(typed: list[bytes], passed: bytes, detached: bool) -> None:
    keys = DetachKeys(b"\x10\x11")
    results = [keys.feed(data) for data in typed]
    assert b"".join(out for out, _ in results) == passed
    assert any(found for _, found in results) is detached


@pytest.mark.parametrize(("text", "keys"), [("", b"\x10\x11"), ("ctrl-a", b"\x01"), ("ctrl-],q", b"\x1dq")])
def test_detach_keys_are_read(text: str, keys: bytes) -> None:
    assert parse_detach_keys(text) == keys


@pytest.mark.parametrize("text", ["ctrl-", "ctrl-ab", "xy", "ctrl-a,", "é"])
def test_bad_detach_keys_are_refused(text: str) -> None:
    with pytest.raises(MinirunError, match="invalid detach keys"):
        parse_detach_keys(text)
