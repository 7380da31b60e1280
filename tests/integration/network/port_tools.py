"""What is published, and what can be bound: read from the host itself."""

import json
import socket

from tests.harness import Host
from tests.harness.netns_sockets import Netns

SLEEP = ("busybox", "sleep", "1000")


def ports_of(host: Host, name: str) -> list[str]:
    return str(host.minirun("port", name).stdout).splitlines()


def published(host: Host) -> int:
    """How many elements the maps of published ports have: a range is one."""
    tables = json.loads(host.sh("nft -j list table inet minirun"))["nftables"]
    return sum(
        len(one["map"].get("elem", [])) for one in tables if "map" in one and one["map"]["name"].startswith("published")
    )


def is_bindable(stack: Netns, port: int, kind: int = socket.SOCK_STREAM) -> bool:
    with stack.socket(socket.AF_INET, kind) as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            one.bind(("0.0.0.0", port))
        except OSError:
            return False
        return True
