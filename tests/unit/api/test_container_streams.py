"""A container that ends while a client joins it."""

import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from minirun.api import container_streams
from minirun.cli.container.attach_session import GONE, Attachment, Manner
from minirun.kernel.sockets import receive_until_end


def test_a_shim_that_has_just_ended_is_the_end_of_its_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = socket.socketpair()
    theirs.close()
    monkeypatch.setattr(container_streams, "control_connect", lambda *_: ours)
    instance = cast(Any, SimpleNamespace(container_dir=lambda _: Path("/nowhere")))
    channel = container_streams._channel_now(instance, cast(Any, SimpleNamespace(id="x")), 0)
    assert channel is ours
    assert receive_until_end(channel, 10) == b""
    ours.close()


@pytest.mark.parametrize("wait", ["until_started", "until_ended"])
def test_one_that_ends_without_reading_is_gone(wait: str) -> None:
    ours, theirs = socket.socketpair()
    ours.sendall(b"unread")
    theirs.close()  # ECONNRESET for who reads
    with ours:
        assert getattr(Attachment(ours, Manner(output=False)), wait)() is GONE
