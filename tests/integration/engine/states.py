"""What the tests of the engine have in common: the state of a container, as `inspect` shows it."""

import json
from typing import Any

from tests.harness import Host

# A program that uses a processor.
BUSY = ("sh", "-c", "while :; do :; done")


def state(host: Host, name: str) -> dict[str, Any]:
    return json.loads(host.minirun("inspect", name).stdout)[0]


def status(host: Host, name: str) -> str:
    return str(state(host, name)["State"]["Status"])
