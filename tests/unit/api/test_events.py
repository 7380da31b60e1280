"""GET /events: what it tells of."""

import json
import socket
import time
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import cast

from minirun.api.events import events
from minirun.api.http import Body, Connection, Head, Query
from minirun.api.request import Request
from minirun.api.versions import NEWEST
from minirun.store import Store


def test_what_happens_between_the_head_and_the_first_look_is_told_of(tmp_path: Path) -> None:
    """From the head on a client misses nothing: one that waits for the end of a container relies on that."""
    store = Store(tmp_path)
    store.add_event("volume", "create", "before", {})
    service, client = socket.socketpair()
    connection = Connection(service)
    query = Query(f"until={time.time() + 0.3}")
    major, minor = map(int, NEWEST.split("."))
    body = cast(Body, None)
    request = Request(Head(), "/events", (major, minor), query, body, connection, tmp_path)
    request.__dict__["instance"] = SimpleNamespace(store=store)
    answer = events(request)  # its head would be sent now
    store.add_event("volume", "create", "after", {})
    assert [json.loads(line)["Actor"]["ID"] for line in cast(Iterable[bytes], answer.body)] == ["after"]
    store.close()
    service.close()
    client.close()
