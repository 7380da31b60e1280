"""The JSON of a pull's stream."""

import json
from typing import Any, cast

from minirun.api.http import ChunkedBody
from minirun.api.image_streams import Messages, TransferMessages

LAYER = "0123456789abcdef" * 4


class Body:
    """What was sent."""

    def __init__(self) -> None:
        self.sent: list[Any] = []

    def write(self, data: bytes) -> int:
        assert data.endswith(b"\r\n")
        self.sent.append(json.loads(data))
        return len(data)


def test_how_far_a_layer_is_is_told_now_and_then_and_its_end_always() -> None:
    body = Body()
    told = TransferMessages(Messages(cast(ChunkedBody, body)))
    for current in (500_000, 600_000, 700_000, 1_000_000):
        told.advance(LAYER, current, 1_000_000)
    begun, ended = body.sent
    assert begun == {
        "status": "Downloading",
        "progressDetail": {"current": 500_000, "total": 1_000_000},
        "progress": f"[{'=' * 25}>{' ' * 25}]    500kB/1MB",
        "id": LAYER[:12],
    }
    assert ended == {"status": "Download complete", "progressDetail": {}, "id": LAYER[:12]}
